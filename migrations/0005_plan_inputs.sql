CREATE TABLE `plan_inputs` (
	`plan_id` text NOT NULL,
	`part` integer NOT NULL,
	`packed` text NOT NULL,
	`created_at` integer NOT NULL,
	PRIMARY KEY(`plan_id`, `part`)
);
--> statement-breakpoint
CREATE INDEX `plan_inputs_by_age` ON `plan_inputs` (`created_at`);--> statement-breakpoint
ALTER TABLE `plans` DROP COLUMN `snapshot`;
