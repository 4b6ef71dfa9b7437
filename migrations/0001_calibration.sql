CREATE TABLE `calibrations` (
	`cluster` text PRIMARY KEY NOT NULL,
	`body` text NOT NULL,
	`drifted` text NOT NULL,
	`fitted_at` integer NOT NULL
);
--> statement-breakpoint
ALTER TABLE `outcomes` ADD `lesson` text;--> statement-breakpoint
CREATE INDEX `outcomes_by_mechanism` ON `outcomes` (`cluster`,`mechanism`,`recorded_at`);