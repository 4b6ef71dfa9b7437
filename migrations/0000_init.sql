CREATE TABLE `audit` (
	`id` integer PRIMARY KEY AUTOINCREMENT NOT NULL,
	`at` integer NOT NULL,
	`actor` text NOT NULL,
	`action` text NOT NULL,
	`subject` text NOT NULL,
	`reason` text,
	`detail` text
);
--> statement-breakpoint
CREATE TABLE `chunks` (
	`id` integer PRIMARY KEY NOT NULL,
	`data` blob NOT NULL
);
--> statement-breakpoint
CREATE TABLE `commands` (
	`id` text PRIMARY KEY NOT NULL,
	`migration_id` text NOT NULL,
	`host_id` text NOT NULL,
	`type` text NOT NULL,
	`body` text NOT NULL,
	`state` text NOT NULL,
	`issued_at` integer NOT NULL,
	`expires_at` integer NOT NULL
);
--> statement-breakpoint
CREATE INDEX `commands_pending` ON `commands` (`host_id`) WHERE state = 'pending';--> statement-breakpoint
CREATE TABLE `host_state` (
	`host_number` integer PRIMARY KEY NOT NULL,
	`version` integer NOT NULL,
	`heard_at` integer NOT NULL,
	`vm_states` text,
	`vm_states_at` integer,
	`latest` text,
	`batches` text
);
--> statement-breakpoint
CREATE TABLE `hosts` (
	`number` integer PRIMARY KEY AUTOINCREMENT NOT NULL,
	`id` text NOT NULL,
	`cluster` text NOT NULL,
	`sequence` integer NOT NULL,
	`boot_id` text NOT NULL,
	`memory_bytes` integer NOT NULL,
	`inventory` text NOT NULL,
	`agent_url` text,
	`created_at` integer NOT NULL,
	`updated_at` integer NOT NULL
);
--> statement-breakpoint
CREATE UNIQUE INDEX `hosts_id_unique` ON `hosts` (`id`);--> statement-breakpoint
CREATE TABLE `idempotency` (
	`principal` text NOT NULL,
	`key` text NOT NULL,
	`request_hash` text NOT NULL,
	`status` integer NOT NULL,
	`body` text NOT NULL,
	`created_at` integer NOT NULL,
	PRIMARY KEY(`principal`, `key`)
);
--> statement-breakpoint
CREATE TABLE `migration_events` (
	`migration_id` text NOT NULL,
	`host_id` text NOT NULL,
	`boot_id` text NOT NULL,
	`sequence` integer NOT NULL,
	`type` text NOT NULL,
	`at` integer NOT NULL,
	`received_at` integer NOT NULL,
	`verdict` text NOT NULL,
	`body` text NOT NULL,
	PRIMARY KEY(`migration_id`, `host_id`, `boot_id`, `sequence`)
);
--> statement-breakpoint
CREATE TABLE `migrations` (
	`id` text PRIMARY KEY NOT NULL,
	`cluster` text NOT NULL,
	`plan_id` text NOT NULL,
	`move_number` integer NOT NULL,
	`vm_uuid` text NOT NULL,
	`vm_name` text NOT NULL,
	`from_host_id` text NOT NULL,
	`to_host_id` text NOT NULL,
	`mechanism` text NOT NULL,
	`state` text NOT NULL,
	`version` integer NOT NULL,
	`fencing_token` integer,
	`parameters` text NOT NULL,
	`limits` text NOT NULL,
	`predicted` text NOT NULL,
	`destination` text,
	`progress` text,
	`measured` text,
	`failure` text,
	`post_copy_active` integer DEFAULT false NOT NULL,
	`created_at` integer NOT NULL,
	`state_at` integer NOT NULL,
	`last_event_at` integer,
	`ended_at` integer
);
--> statement-breakpoint
CREATE UNIQUE INDEX `migrations_one_active` ON `migrations` (`cluster`,`vm_uuid`) WHERE ended_at IS NULL;--> statement-breakpoint
CREATE INDEX `migrations_by_plan` ON `migrations` (`plan_id`);--> statement-breakpoint
CREATE INDEX `migrations_by_end` ON `migrations` (`cluster`,`ended_at`);--> statement-breakpoint
CREATE TABLE `outcomes` (
	`migration_id` text PRIMARY KEY NOT NULL,
	`cluster` text NOT NULL,
	`hypervisor` text NOT NULL,
	`driver` text NOT NULL,
	`mechanism` text NOT NULL,
	`state` text NOT NULL,
	`predicted` text NOT NULL,
	`measured` text NOT NULL,
	`recorded_at` integer NOT NULL
);
--> statement-breakpoint
CREATE TABLE `placements` (
	`cluster` text NOT NULL,
	`uuid` text NOT NULL,
	`from_at` integer NOT NULL,
	`host_id` text NOT NULL,
	`to_at` integer,
	PRIMARY KEY(`cluster`, `uuid`, `from_at`)
);
--> statement-breakpoint
CREATE TABLE `plans` (
	`id` text PRIMARY KEY NOT NULL,
	`cluster` text NOT NULL,
	`goal` text NOT NULL,
	`state` text NOT NULL,
	`version` integer NOT NULL,
	`content` text NOT NULL,
	`content_hash` text NOT NULL,
	`input_hash` text NOT NULL,
	`snapshot` text,
	`skipped` text DEFAULT '[]' NOT NULL,
	`created_by` text NOT NULL,
	`created_at` integer NOT NULL,
	`expires_at` integer NOT NULL,
	`decided_by` text,
	`decided_at` integer,
	`reason` text,
	`ended_at` integer
);
--> statement-breakpoint
CREATE TABLE `reservations` (
	`migration_id` text PRIMARY KEY NOT NULL,
	`cluster` text NOT NULL,
	`host_id` text NOT NULL,
	`vm_uuid` text NOT NULL,
	`memory_bytes` integer NOT NULL,
	`cpu_cores` integer NOT NULL
);
--> statement-breakpoint
CREATE TABLE `tokens` (
	`id` text PRIMARY KEY NOT NULL,
	`name` text NOT NULL,
	`hash` text NOT NULL,
	`scopes` text NOT NULL,
	`host_id` text,
	`cluster` text,
	`created_at` integer NOT NULL,
	`expires_at` integer,
	`revoked_at` integer
);
--> statement-breakpoint
CREATE UNIQUE INDEX `tokens_hash_unique` ON `tokens` (`hash`);--> statement-breakpoint
CREATE TABLE `vms` (
	`cluster` text NOT NULL,
	`uuid` text NOT NULL,
	`host_id` text,
	`name` text NOT NULL,
	`state` text NOT NULL,
	`committed_bytes` integer NOT NULL,
	`inventory` text NOT NULL,
	`fencing_token` integer DEFAULT 0 NOT NULL,
	`last_moved_at` integer,
	`updated_at` integer NOT NULL,
	PRIMARY KEY(`cluster`, `uuid`)
);
--> statement-breakpoint
CREATE INDEX `vms_by_host` ON `vms` (`cluster`,`host_id`);