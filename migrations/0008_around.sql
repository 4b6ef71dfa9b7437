CREATE TABLE `checks` (
	`id` text PRIMARY KEY NOT NULL,
	`cluster` text NOT NULL,
	`host_id` text NOT NULL,
	`type` text NOT NULL,
	`created_at` integer NOT NULL,
	`answer` text,
	`answered_at` integer
);
--> statement-breakpoint
CREATE INDEX `checks_by_age` ON `checks` (`created_at`);--> statement-breakpoint
CREATE TABLE `links` (
	`cluster` text NOT NULL,
	`from_host_id` text NOT NULL,
	`to_host_id` text NOT NULL,
	`measured` text NOT NULL,
	`measured_at` integer NOT NULL,
	PRIMARY KEY(`cluster`, `from_host_id`, `to_host_id`)
);
--> statement-breakpoint
ALTER TABLE `migration_events` ADD `number` integer DEFAULT 0 NOT NULL;--> statement-breakpoint
CREATE INDEX `migration_events_by_number` ON `migration_events` (`migration_id`,`number`);--> statement-breakpoint
ALTER TABLE `migrations` ADD `continuity` text;--> statement-breakpoint
CREATE INDEX `migrations_ended` ON `migrations` (`ended_at`) WHERE ended_at IS NOT NULL;--> statement-breakpoint
CREATE INDEX `migrations_of_vm` ON `migrations` (`vm_uuid`,`ended_at`) WHERE ended_at IS NOT NULL;--> statement-breakpoint
UPDATE `migration_events` SET `number` = o.`n` FROM (SELECT rowid AS `r`, row_number() OVER (PARTITION BY `migration_id` ORDER BY `received_at`, `sequence`, rowid) AS `n` FROM `migration_events`) AS o WHERE `migration_events`.rowid = o.`r`;--> statement-breakpoint
INSERT INTO `outcomes` (`migration_id`, `cluster`, `hypervisor`, `driver`, `mechanism`, `state`, `predicted`, `measured`, `recorded_at`, `lesson`)
SELECT m.`id`, m.`cluster`, coalesce(json_extract(h.`inventory`, '$.hypervisor'), 'kvm'), coalesce(json_extract(h.`inventory`, '$.driver.name'), 'qmp'), m.`mechanism`, m.`state`, m.`predicted`, coalesce(m.`measured`, '{}'), m.`ended_at`, NULL
FROM `migrations` m LEFT JOIN `hosts` h ON h.`id` = m.`from_host_id`
WHERE m.`ended_at` IS NOT NULL
ON CONFLICT(`migration_id`) DO NOTHING;
