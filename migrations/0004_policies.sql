CREATE TABLE `freezes` (
	`id` text PRIMARY KEY NOT NULL,
	`cluster` text NOT NULL,
	`version` integer NOT NULL,
	`from_at` integer,
	`to_at` integer,
	`windows` text,
	`scope` text,
	`reason` text NOT NULL,
	`created_by` text NOT NULL,
	`created_at` integer NOT NULL,
	`updated_at` integer NOT NULL
);
--> statement-breakpoint
CREATE INDEX `freezes_by_cluster` ON `freezes` (`cluster`);--> statement-breakpoint
CREATE TABLE `policies` (
	`id` text PRIMARY KEY NOT NULL,
	`cluster` text NOT NULL,
	`name` text NOT NULL,
	`enabled` integer NOT NULL,
	`version` integer NOT NULL,
	`definition` text NOT NULL,
	`created_by` text NOT NULL,
	`created_at` integer NOT NULL,
	`updated_at` integer NOT NULL,
	`activated_at` integer NOT NULL,
	`mode_since` integer NOT NULL,
	`last_due_at` integer,
	`last_started_at` integer
);
--> statement-breakpoint
CREATE UNIQUE INDEX `policies_by_name` ON `policies` (`cluster`,`name`);--> statement-breakpoint
CREATE TABLE `policy_runs` (
	`id` text PRIMARY KEY NOT NULL,
	`policy_id` text NOT NULL,
	`cluster` text NOT NULL,
	`due_key` text NOT NULL,
	`event_key` text,
	`trigger` text NOT NULL,
	`created_at` integer NOT NULL,
	`due_at` integer NOT NULL,
	`started_at` integer,
	`ended_at` integer,
	`mode` text,
	`outcome` text,
	`plan_id` text,
	`summary` text,
	`alarm` text,
	`numbers` text
);
--> statement-breakpoint
CREATE UNIQUE INDEX `policy_runs_once` ON `policy_runs` (`policy_id`,`due_key`);--> statement-breakpoint
CREATE INDEX `policy_runs_by_time` ON `policy_runs` (`policy_id`,`created_at`);--> statement-breakpoint
CREATE INDEX `policy_runs_open` ON `policy_runs` (`due_at`) WHERE ended_at IS NULL;--> statement-breakpoint
ALTER TABLE `plans` ADD `policy_id` text;--> statement-breakpoint
ALTER TABLE `plans` ADD `mode` text;--> statement-breakpoint
CREATE INDEX `plans_by_policy` ON `plans` (`policy_id`,`created_at`) WHERE policy_id IS NOT NULL;