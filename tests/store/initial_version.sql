BEGIN TRANSACTION;
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
INSERT INTO "host_keys" VALUES(1,'192.0.2.1','ssh-ed25519','SHA256:abc','ssh-ed25519 AAAA','2026-11-23 02:29:41.746083+00:00','kvm1');
CREATE TABLE "hosts" (
    "number" INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    "id" VARCHAR(63) NOT NULL UNIQUE,
    "uri" TEXT NOT NULL,
    "disconnected" INT NOT NULL,
    "declared" INT NOT NULL,
    "created_at" TIMESTAMP NOT NULL,
    "updated_at" TIMESTAMP NOT NULL
);
INSERT INTO "hosts" VALUES(1,'kvm1','test:///default',0,0,'2026-11-23 02:29:41.742551+00:00','2026-11-23 02:29:41.742551+00:00');
CREATE TABLE "tortoise_migrations" (
    "id" INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    "app" VARCHAR(255) NOT NULL,
    "name" VARCHAR(255) NOT NULL,
    "applied_at" TIMESTAMP NOT NULL,
    CONSTRAINT "uid_tortoise_mi_app_3803a5" UNIQUE ("app", "name")
);
INSERT INTO "tortoise_migrations" VALUES(1,'core','0001_initial','2026-11-23 02:29:41.737069+00:00');
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
INSERT INTO "vms" VALUES(1,'u','web01','{"id":0,"name":"web01","state":5,"max_mem":131072,"memory":131072,"vcpu":2,"cpu_time":0,"uptime":-1,"persistent":true,"autostart":false,"graphics":{"vnc":false,"spice":false},"uuid":"u","description":"","vcpu_count":2,"memory_bytes":134217728,"is_template":false,"cpu_model":"","cpu_topology_json":"","db_id":1}','2026-11-23 02:29:41.750358+00:00','2026-11-23 02:29:41.750358+00:00','kvm1');
INSERT INTO "vms" VALUES(2,'v','web02','{"id":0,"name":"web02","state":5,"max_mem":131072,"memory":131072,"vcpu":2,"cpu_time":0,"uptime":-1,"persistent":true,"autostart":false,"graphics":{"vnc":false,"spice":false},"uuid":"v","description":"","vcpu_count":2,"memory_bytes":134217728,"is_template":false,"cpu_model":"","cpu_topology_json":"","db_id":2}','2026-11-23 02:29:41.750358+00:00','2026-11-23 02:29:41.750358+00:00','kvm1');
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('tortoise_migrations',1);
INSERT INTO "sqlite_sequence" VALUES('hosts',1);
INSERT INTO "sqlite_sequence" VALUES('host_keys',1);
INSERT INTO "sqlite_sequence" VALUES('vms',2);
COMMIT;
