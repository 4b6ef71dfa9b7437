CREATE TABLE `trigger_alerts` (
	`id` text PRIMARY KEY NOT NULL,
	`trigger_id` text NOT NULL,
	`key` text NOT NULL,
	`status` text,
	`host_id` text,
	`vm` text,
	`outcome` text NOT NULL,
	`why` text NOT NULL,
	`at` integer NOT NULL,
	`seen_at` integer NOT NULL,
	`times` integer NOT NULL
);
--> statement-breakpoint
CREATE INDEX `trigger_alerts_by_key` ON `trigger_alerts` (`trigger_id`,`key`,`at`);--> statement-breakpoint
CREATE INDEX `trigger_alerts_by_outcome` ON `trigger_alerts` (`trigger_id`,`outcome`,`at`);--> statement-breakpoint
CREATE INDEX `trigger_alerts_by_time` ON `trigger_alerts` (`at`);--> statement-breakpoint
CREATE TABLE `triggers` (
	`id` text PRIMARY KEY NOT NULL,
	`cluster` text NOT NULL,
	`name` text NOT NULL,
	`enabled` integer NOT NULL,
	`definition` text NOT NULL,
	`token_hash` text NOT NULL,
	`version` integer NOT NULL,
	`created_by` text NOT NULL,
	`created_at` integer NOT NULL,
	`updated_at` integer NOT NULL,
	`last_alert_at` integer
);
--> statement-breakpoint
CREATE UNIQUE INDEX `triggers_by_name` ON `triggers` (`cluster`,`name`);--> statement-breakpoint
CREATE TABLE `routes` (
	`id` text PRIMARY KEY NOT NULL,
	`name` text NOT NULL,
	`enabled` integer NOT NULL,
	`definition` text NOT NULL,
	`version` integer NOT NULL,
	`created_by` text NOT NULL,
	`created_at` integer NOT NULL,
	`updated_at` integer NOT NULL,
	`turn` integer DEFAULT 0 NOT NULL,
	`sent` text DEFAULT '[]' NOT NULL,
	`quiet_until` integer DEFAULT 0 NOT NULL
);
--> statement-breakpoint
CREATE UNIQUE INDEX `routes_name_unique` ON `routes` (`name`);