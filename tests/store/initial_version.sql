BEGIN TRANSACTION;
CREATE TABLE "audit_chain" (
    "id" INT NOT NULL  PRIMARY KEY,
    "tail_number" BIGINT NOT NULL,
    "tail_digest" VARCHAR(64) NOT NULL,
    "head_number" BIGINT NOT NULL,
    "head_digest" VARCHAR(64) NOT NULL
);
CREATE TABLE "audit_records" (
    "number" BIGINT NOT NULL  PRIMARY KEY,
    "act" BIGINT NOT NULL,
    "at" TIMESTAMP NOT NULL,
    "document" TEXT NOT NULL,
    "digest" VARCHAR(64) NOT NULL
);
CREATE TABLE "clock" (
    "id" INT NOT NULL  PRIMARY KEY,
    "believed_at" TIMESTAMP NOT NULL
);
CREATE TABLE "console_tickets" (
    "digest" VARCHAR(64) NOT NULL  PRIMARY KEY,
    "vm_uuid" VARCHAR(36) NOT NULL,
    "kind" VARCHAR(32) NOT NULL,
    "caller" TEXT NOT NULL,
    "origin" TEXT NOT NULL,
    "view_only" INT NOT NULL,
    "on_busy" VARCHAR(16) NOT NULL,
    "expires_at" TIMESTAMP NOT NULL,
    "host_id" VARCHAR(63) NOT NULL REFERENCES "hosts" ("id") ON DELETE CASCADE
);
CREATE TABLE "event_log" (
    "id" INT NOT NULL  PRIMARY KEY,
    "tail" BIGINT NOT NULL,
    "head" BIGINT NOT NULL
);
CREATE TABLE "events" (
    "id" BIGINT NOT NULL  PRIMARY KEY,
    "batch" VARCHAR(16) NOT NULL,
    "at" BIGINT NOT NULL,
    "type" VARCHAR(32) NOT NULL,
    "host" TEXT NOT NULL,
    "vm" TEXT NOT NULL,
    "right" TEXT NOT NULL,
    "caller" TEXT NOT NULL,
    "document" TEXT NOT NULL
);
CREATE TABLE "host_keys" (
    "number" INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    "address" VARCHAR(300) NOT NULL,
    "type" VARCHAR(100) NOT NULL,
    "fingerprint" VARCHAR(200) NOT NULL,
    "public" TEXT NOT NULL,
    "created_at" TIMESTAMP NOT NULL,
    "host_id" VARCHAR(63) NOT NULL REFERENCES "hosts" ("id") ON DELETE CASCADE,
    CONSTRAINT "uid_host_keys_host_id_d3aa93" UNIQUE ("host_id", "address", "fingerprint")
);
INSERT INTO "host_keys" VALUES(1,'192.0.2.1','ssh-ed25519','SHA256:abc','ssh-ed25519 AAAA','2026-11-30 03:00:05.665210+00:00','kvm1');
CREATE TABLE "hosts" (
    "number" INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    "id" VARCHAR(63) NOT NULL UNIQUE,
    "uri" TEXT NOT NULL,
    "disconnected" INT NOT NULL,
    "declared" INT NOT NULL,
    "created_at" TIMESTAMP NOT NULL,
    "updated_at" TIMESTAMP NOT NULL,
    "credentials" TEXT NOT NULL
);
INSERT INTO "hosts" VALUES(1,'kvm1','test:///default',0,0,'2026-11-30 03:00:05.658033+00:00','2026-11-30 03:00:05.658033+00:00','');
CREATE TABLE "idempotency_keys" (
    "digest" VARCHAR(64) NOT NULL  PRIMARY KEY,
    "caller" VARCHAR(32) NOT NULL,
    "request" VARCHAR(64) NOT NULL,
    "request_id" VARCHAR(64) NOT NULL,
    "owner" VARCHAR(32) NOT NULL,
    "look_at" TEXT NOT NULL,
    "created_at" TIMESTAMP NOT NULL,
    "status" INT,
    "headers" TEXT NOT NULL,
    "body" BLOB
);
CREATE TABLE "metadata" (
    "number" INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    "host_id" VARCHAR(63) NOT NULL,
    "vm_uuid" VARCHAR(36) NOT NULL,
    "title" TEXT NOT NULL,
    "notes" TEXT NOT NULL,
    "tags" TEXT NOT NULL,
    "changed_at" TIMESTAMP NOT NULL,
    "changed_by" TEXT NOT NULL,
    "revision" BIGINT NOT NULL,
    CONSTRAINT "uid_metadata_host_id_53c7c0" UNIQUE ("host_id", "vm_uuid")
);
CREATE TABLE "operation_outcomes" (
    "number" INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    "position" INT NOT NULL,
    "document" TEXT NOT NULL,
    "operation_id" VARCHAR(16) NOT NULL REFERENCES "operations" ("id") ON DELETE CASCADE,
    CONSTRAINT "uid_operation_o_operati_9ca435" UNIQUE ("operation_id", "position")
);
CREATE TABLE "operations" (
    "id" VARCHAR(16) NOT NULL  PRIMARY KEY,
    "owner" VARCHAR(32) NOT NULL,
    "caller" TEXT NOT NULL,
    "right" TEXT NOT NULL,
    "action" VARCHAR(63) NOT NULL,
    "state" VARCHAR(16) NOT NULL,
    "host_id" VARCHAR(63) NOT NULL,
    "vm_uuid" VARCHAR(36) NOT NULL,
    "request_id" VARCHAR(64) NOT NULL,
    "created_at" TIMESTAMP NOT NULL,
    "ended_at" TIMESTAMP,
    "document" TEXT NOT NULL
);
CREATE TABLE "processes" (
    "id" VARCHAR(32) NOT NULL  PRIMARY KEY,
    "seen_at" TIMESTAMP NOT NULL
);
CREATE TABLE "tokens" (
    "id" VARCHAR(16) NOT NULL  PRIMARY KEY,
    "name" TEXT NOT NULL,
    "digest" VARCHAR(64) NOT NULL,
    "grants" TEXT NOT NULL,
    "created_at" TIMESTAMP NOT NULL,
    "created_by" TEXT NOT NULL,
    "expires_at" TIMESTAMP,
    "last_used_at" TIMESTAMP,
    "parent" VARCHAR(16)
);
CREATE TABLE "tortoise_migrations" (
    "id" INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    "app" VARCHAR(255) NOT NULL,
    "name" VARCHAR(255) NOT NULL,
    "applied_at" TIMESTAMP NOT NULL,
    CONSTRAINT "uid_tortoise_mi_app_3803a5" UNIQUE ("app", "name")
);
INSERT INTO "tortoise_migrations" VALUES(1,'core','0001_tables','2026-11-30 03:00:05.646714+00:00');
CREATE TABLE "users" (
    "name" VARCHAR(63) NOT NULL  PRIMARY KEY,
    "password" TEXT NOT NULL,
    "password_at" TIMESTAMP NOT NULL,
    "grants" TEXT NOT NULL,
    "created_at" TIMESTAMP NOT NULL,
    "created_by" TEXT NOT NULL
);
CREATE TABLE "vms" (
    "id" INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    "uuid" VARCHAR(36) NOT NULL,
    "name" TEXT NOT NULL,
    "document" TEXT NOT NULL,
    "created_at" TIMESTAMP NOT NULL,
    "updated_at" TIMESTAMP NOT NULL,
    "host_id" VARCHAR(63) NOT NULL REFERENCES "hosts" ("id") ON DELETE CASCADE,
    CONSTRAINT "uid_vms_host_id_a574cb" UNIQUE ("host_id", "uuid")
);
INSERT INTO "vms" VALUES(1,'u','web01','{"id":0,"name":"web01","state":5,"max_mem":131072,"memory":131072,"vcpu":2,"cpu_time":0,"uptime":-1,"persistent":true,"autostart":false,"graphics":{"vnc":false,"spice":false},"uuid":"u","description":"","vcpu_count":2,"memory_bytes":134217728,"is_template":false,"cpu_model":"","cpu_topology_json":"","db_id":1}','2026-11-30 03:00:05.667116+00:00','2026-11-30 03:00:05.667116+00:00','kvm1');
INSERT INTO "vms" VALUES(2,'v','web02','{"id":0,"name":"web02","state":5,"max_mem":131072,"memory":131072,"vcpu":2,"cpu_time":0,"uptime":-1,"persistent":true,"autostart":false,"graphics":{"vnc":false,"spice":false},"uuid":"v","description":"","vcpu_count":2,"memory_bytes":134217728,"is_template":false,"cpu_model":"","cpu_topology_json":"","db_id":2}','2026-11-30 03:00:05.667116+00:00','2026-11-30 03:00:05.667116+00:00','kvm1');
CREATE TABLE "web_sessions" (
    "id" VARCHAR(16) NOT NULL  PRIMARY KEY,
    "digest" VARCHAR(64) NOT NULL,
    "owner" TEXT NOT NULL,
    "pending" INT NOT NULL,
    "created_at" TIMESTAMP NOT NULL,
    "expires_at" TIMESTAMP NOT NULL,
    "identity" TEXT NOT NULL
);
CREATE INDEX "idx_audit_recor_act_523ef8" ON "audit_records" ("act");
CREATE INDEX "idx_operations_state_c1a368" ON "operations" ("state");
CREATE INDEX "idx_operations_request_c30542" ON "operations" ("request_id");
CREATE INDEX "idx_operations_created_d9668b" ON "operations" ("created_at");
CREATE INDEX "idx_idempotency_caller_d954a8" ON "idempotency_keys" ("caller");
CREATE INDEX "idx_idempotency_created_944834" ON "idempotency_keys" ("created_at");
CREATE INDEX "idx_metadata_revisio_15e099" ON "metadata" ("revision");
CREATE INDEX "idx_events_at_92f8f6" ON "events" ("at");
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('tortoise_migrations',1);
INSERT INTO "sqlite_sequence" VALUES('hosts',1);
INSERT INTO "sqlite_sequence" VALUES('host_keys',1);
INSERT INTO "sqlite_sequence" VALUES('vms',2);
COMMIT;
