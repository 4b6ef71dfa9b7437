CREATE TABLE `deliveries` (
	`id` text PRIMARY KEY NOT NULL,
	`sequence` integer NOT NULL,
	`target_kind` text NOT NULL,
	`target_id` text NOT NULL,
	`round` text NOT NULL,
	`subject` text,
	`state` text NOT NULL,
	`attempts` integer DEFAULT 0 NOT NULL,
	`next_attempt_at` integer NOT NULL,
	`created_at` integer NOT NULL,
	`expires_at` integer NOT NULL,
	`ended_at` integer,
	`why` text
);
--> statement-breakpoint
CREATE UNIQUE INDEX `deliveries_once` ON `deliveries` (`target_id`,`sequence`,`round`);--> statement-breakpoint
CREATE INDEX `deliveries_due` ON `deliveries` (`target_id`,`next_attempt_at`) WHERE state = 'pending';--> statement-breakpoint
CREATE INDEX `deliveries_in_order` ON `deliveries` (`target_id`,`subject`,`sequence`) WHERE state = 'pending' AND subject IS NOT NULL;--> statement-breakpoint
CREATE TABLE `delivery_attempts` (
	`delivery_id` text NOT NULL,
	`number` integer NOT NULL,
	`at` integer NOT NULL,
	`duration_ms` integer NOT NULL,
	`request` text NOT NULL,
	`answer` text,
	`error` text,
	PRIMARY KEY(`delivery_id`, `number`)
);
--> statement-breakpoint
CREATE TABLE `outbox` (
	`sequence` integer PRIMARY KEY AUTOINCREMENT NOT NULL,
	`id` text NOT NULL,
	`type` text NOT NULL,
	`version` integer NOT NULL,
	`at` integer NOT NULL,
	`cluster` text,
	`subject` text NOT NULL,
	`data` text NOT NULL,
	`fanned_out_at` integer
);
--> statement-breakpoint
CREATE UNIQUE INDEX `outbox_id_unique` ON `outbox` (`id`);--> statement-breakpoint
CREATE INDEX `outbox_waiting` ON `outbox` (`sequence`) WHERE fanned_out_at IS NULL;--> statement-breakpoint
CREATE INDEX `outbox_by_time` ON `outbox` (`at`);--> statement-breakpoint
CREATE TABLE `webhooks` (
	`id` text PRIMARY KEY NOT NULL,
	`url` text NOT NULL,
	`description` text NOT NULL,
	`events` text NOT NULL,
	`clusters` text,
	`ordered` integer NOT NULL,
	`in_flight_max` integer NOT NULL,
	`timeout_ms` integer NOT NULL,
	`secrets` text NOT NULL,
	`version` integer NOT NULL,
	`created_by` text NOT NULL,
	`created_at` integer NOT NULL,
	`updated_at` integer NOT NULL,
	`paused_because` text,
	`paused_why` text,
	`paused_at` integer,
	`failing_since` integer,
	`failures` integer DEFAULT 0 NOT NULL,
	`rest_until` integer,
	`last_delivered_at` integer,
	`lease` text,
	`lease_until` integer
);
