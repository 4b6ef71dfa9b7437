-- Samples and latest values in the format of 0.1.0's first cut cannot be read any more: both tables begin anew.
DROP TABLE `chunks`;
--> statement-breakpoint
CREATE TABLE `chunks` (
	`id` integer PRIMARY KEY NOT NULL,
	`revision` integer NOT NULL,
	`head` text,
	`live` text,
	`packed` blob
);
--> statement-breakpoint
DROP TABLE `host_state`;
--> statement-breakpoint
CREATE TABLE `host_state` (
	`host_number` integer PRIMARY KEY NOT NULL,
	`version` integer NOT NULL,
	`heard_at` integer NOT NULL,
	`vm_states_at` integer,
	`late_hours` text,
	`vm_states` text,
	`layout` text,
	`latest` text,
	`curves` text,
	`tails` text,
	`counters` text,
	`batches` text
);
--> statement-breakpoint
CREATE TABLE `host_summaries` (
	`host_number` integer PRIMARY KEY NOT NULL,
	`summarized_at` integer NOT NULL,
	`summary` text NOT NULL,
	`window` text NOT NULL
);
--> statement-breakpoint
CREATE TABLE `jobs` (
	`name` text PRIMARY KEY NOT NULL,
	`state` text NOT NULL,
	`updated_at` integer NOT NULL
);
