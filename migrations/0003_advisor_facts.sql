CREATE TABLE `placement_rules` (
	`id` text PRIMARY KEY NOT NULL,
	`cluster` text NOT NULL,
	`rule` text NOT NULL,
	`created_at` integer NOT NULL,
	`updated_at` integer NOT NULL
);
--> statement-breakpoint
CREATE INDEX `placement_rules_by_cluster` ON `placement_rules` (`cluster`,`id`);--> statement-breakpoint
ALTER TABLE `hosts` ADD `restarts` text;--> statement-breakpoint
ALTER TABLE `hosts` ADD `maintenance_since` integer;--> statement-breakpoint
ALTER TABLE `hosts` ADD `maintenance_until` integer;--> statement-breakpoint
ALTER TABLE `hosts` ADD `maintenance_reason` text;