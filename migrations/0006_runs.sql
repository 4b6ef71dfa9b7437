ALTER TABLE `plans` ADD `on_failure` text;--> statement-breakpoint
ALTER TABLE `plans` ADD `replans` text;--> statement-breakpoint
CREATE UNIQUE INDEX `plans_by_replanned` ON `plans` (`replans`) WHERE replans IS NOT NULL;