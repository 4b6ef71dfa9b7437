CREATE TABLE `approval_rules` (
	`cluster` text PRIMARY KEY NOT NULL,
	`rule` text NOT NULL,
	`updated_by` text NOT NULL,
	`updated_at` integer NOT NULL
);
--> statement-breakpoint
CREATE TABLE `chat_channels` (
	`id` text PRIMARY KEY NOT NULL,
	`platform` text NOT NULL,
	`team_id` text NOT NULL,
	`channel_id` text NOT NULL,
	`events` text NOT NULL,
	`created_by` text NOT NULL,
	`created_at` integer NOT NULL,
	`rest_until` integer,
	`trouble` text,
	`lease` text,
	`lease_until` integer
);
--> statement-breakpoint
CREATE UNIQUE INDEX `chat_channels_by_channel` ON `chat_channels` (`platform`,`channel_id`);--> statement-breakpoint
CREATE TABLE `chat_links` (
	`platform` text NOT NULL,
	`team_id` text NOT NULL,
	`user_id` text NOT NULL,
	`name` text NOT NULL,
	`code_hash` text NOT NULL,
	`expires_at` integer NOT NULL,
	PRIMARY KEY(`platform`, `team_id`, `user_id`)
);
--> statement-breakpoint
CREATE UNIQUE INDEX `chat_links_code_hash_unique` ON `chat_links` (`code_hash`);--> statement-breakpoint
CREATE TABLE `chat_messages` (
	`target_id` text NOT NULL,
	`subject` text NOT NULL,
	`message_id` text,
	`at` integer NOT NULL,
	`ended_at` integer,
	PRIMARY KEY(`target_id`, `subject`)
);
--> statement-breakpoint
CREATE INDEX `chat_messages_live` ON `chat_messages` (`target_id`) WHERE ended_at IS NULL;--> statement-breakpoint
CREATE TABLE `chat_requests` (
	`id` text PRIMARY KEY NOT NULL,
	`body` text,
	`at` integer NOT NULL,
	`started_at` integer,
	`ended_at` integer
);
--> statement-breakpoint
CREATE INDEX `chat_requests_by_time` ON `chat_requests` (`at`);--> statement-breakpoint
CREATE INDEX `chat_requests_open` ON `chat_requests` (`at`) WHERE ended_at IS NULL;--> statement-breakpoint
CREATE TABLE `chat_users` (
	`id` text PRIMARY KEY NOT NULL,
	`platform` text NOT NULL,
	`team_id` text NOT NULL,
	`user_id` text NOT NULL,
	`name` text NOT NULL,
	`principal_id` text NOT NULL,
	`scopes` text NOT NULL,
	`token_id` text,
	`created_by` text NOT NULL,
	`created_at` integer NOT NULL
);
--> statement-breakpoint
CREATE UNIQUE INDEX `chat_users_by_user` ON `chat_users` (`platform`,`team_id`,`user_id`);--> statement-breakpoint
CREATE TABLE `plan_approvals` (
	`plan_id` text NOT NULL,
	`principal_id` text NOT NULL,
	`at` integer NOT NULL,
	`content_hash` text NOT NULL,
	`skipped` text NOT NULL,
	`reason` text,
	`on_failure` text NOT NULL,
	`is_override` integer DEFAULT false NOT NULL,
	PRIMARY KEY(`plan_id`, `principal_id`)
);
