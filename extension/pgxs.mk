# extension/pgxs.mk: the shared library and the SQL script, built with PGXS.
#
# The top Makefile calls it for all, install, installcheck, uninstall and clean; it can also be called
# by itself from any folder, which then holds the objects:
#
#     make -f /path/to/hotdash/extension/pgxs.mk PG_CONFIG=… all
#
# WERROR=1 turns warnings into errors; HOTDASH_CFLAGS and HOTDASH_LDFLAGS are added at the end.

HOTDASH_VERSION = 0.1.0
TOP := $(patsubst %/extension/,%,$(dir $(abspath $(lastword $(MAKEFILE_LIST)))))

MODULE_big = hotdash
EXTENSION = control/hotdash

# The install script in the order in which its pieces build on each other.
SQL_PIECES = core core_parts core_secrets limits limits_durable limits_denied limits_places limits_client jobs jobs_own jobs_hold \
	jobs_dead jobs_flows jobs_views jobs_schedule \
	webhooks webhooks_endpoints webhooks_retention webhooks_publish webhooks_replay webhooks_delete webhooks_health webhooks_pace \
	webhooks_egress webhooks_views webhooks_edge webhooks_request webhooks_hosts webhooks_outcomes webhooks_consent webhooks_inbound \
	webhooks_secrets flags_evaluate flags flags_unleash flags_import flags_growthbook flags_segments flags_exposures flags_usage \
	sla_calendars sla_ics sla sla_policies sla_actions sla_clocks sla_scan sla_counts sla_views sla_report ops_alerts \
	sla_language sla_rules sla_escalations ops_spans ops_cron ops
SQL_SCRIPT = sql/hotdash--$(HOTDASH_VERSION).sql
DATA_built = $(SQL_SCRIPT)
DATA = $(patsubst $(TOP)/%,%,$(wildcard $(TOP)/sql/released/*.sql $(TOP)/sql/upgrade/*.sql)) \
	control/hotdash.conf.sample

SOURCES = $(patsubst $(TOP)/%,%,$(wildcard $(TOP)/extension/*.c $(TOP)/extension/*/*.c))
HEADER_FILES = $(wildcard $(TOP)/extension/*.h $(TOP)/extension/*/*.h)
OBJS = $(SOURCES:.c=.o)

PG_CPPFLAGS = -I$(TOP)/extension -DHD_VERSION='"$(HOTDASH_VERSION)"'
PG_CFLAGS = -Wall -Wextra -Wno-unused-parameter -Wno-sign-compare $(if $(filter 1,$(WERROR)),-Werror) \
	$(HOTDASH_CFLAGS)
PG_LDFLAGS = $(HOTDASH_LDFLAGS)
SHLIB_LINK = -lcrypto

EXTRA_CLEAN = $(SQL_SCRIPT) results output_iso

PG_CONFIG ?= pg_config
PGXS := $(shell $(PG_CONFIG) --pgxs 2>/dev/null)
ifeq ($(wildcard $(PGXS)),)
$(error $(PG_CONFIG) does not lead to the server's development files. On Debian: \
	apt-get install postgresql-server-dev-15, or name another one with PG_CONFIG=)
endif

# PGXS takes the sources' place from VPATH. Afterwards it is emptied: make would look for objects
# beside the sources too, and take those of another server's build.
override VPATH := $(TOP)
include $(PGXS)
override VPATH :=
srcdir := $(TOP)
vpath %.c $(TOP)
vpath %.control $(TOP)

# A build outside the tree finds the sources but not the folders for its objects.
OBJECT_FOLDERS = $(sort $(dir $(OBJS) $(SQL_SCRIPT)))
$(OBJS) $(SQL_SCRIPT): | $(OBJECT_FOLDERS)
$(OBJECT_FOLDERS):
	@mkdir -p $@

# The library is small: a changed header rebuilds all of it, and no dependency is ever forgotten.
$(OBJS): $(HEADER_FILES) $(TOP)/extension/pgxs.mk

$(SQL_SCRIPT): $(SQL_PIECES:%=$(TOP)/sql/%.sql) $(TOP)/extension/pgxs.mk
	cat $(SQL_PIECES:%=$(TOP)/sql/%.sql) >$@.new
	mv $@.new $@

# On a server that runs already, as PGHOST, PGPORT and PGUSER say.
installcheck:
	@PG_ISOLATION_REGRESS='$(dir $(PGXS))../test/isolation/pg_isolation_regress' \
		PG_BINDIR='$(bindir)' $(TOP)/regress/installcheck
