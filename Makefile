# All set-up happens by itself: `make up` and `make test` need Python 3.11+, its venv module, git and make.
.DEFAULT_GOAL := help
.PHONY: help up test check integration faults bench demo send token schemas settings format clean

VENV := .venv
BIN := $(VENV)/bin
RUNTIME := $(VENV)/.runtime-installed
DEV := $(VENV)/.dev-installed
KAFKA_TESTS := tests/integration/kafka_real
# processes that tests run in; each has embedded servers of its own
WORKERS ?= 2

# a `$$` or a quote in a text is text
ifdef TEXT
override TEXT := $(value TEXT)
endif
export TEXT

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(RUNTIME): requirements/base.txt requirements/local.txt
	@sh deploy/local/install.sh $(VENV) $^ && touch $@

$(DEV): $(RUNTIME) requirements/dev.txt
	@sh deploy/local/install.sh $(VENV) requirements/base.txt requirements/local.txt requirements/dev.txt && touch $@

up: $(RUNTIME) ## run everything on http://127.0.0.1:8080 (PORT, DATA_DIR)
	@exec $(BIN)/python -m deploy.local.up

send: $(RUNTIME) ## send a provider's webhook (CHANNEL=sms|whatsapp|email|chat FROM=… TEXT=…)
	@exec $(BIN)/python -m deploy.local.send

token: $(RUNTIME) ## print a token of AGENT (ana, ben, cleo, lea, adam), valid 12 hours
	@exec $(BIN)/python -m deploy.local.token "$(AGENT)"

demo: $(RUNTIME) ## play a recorded day and show what became of it
	@exec $(BIN)/python -m deploy.local.demo

settings: $(RUNTIME) ## list the environment variables of each service
	@exec $(BIN)/python -m deploy.local.settings

test: $(DEV) ## all tests that need no engine of their own
	$(BIN)/pytest -q -n $(WORKERS) --ignore=$(KAFKA_TESTS) $(ARGS)

integration: $(DEV) ## the tests on a real Apache Kafka (needs Java 17 and Maven)
	$(BIN)/pytest -q $(KAFKA_TESTS) $(ARGS)

faults: $(DEV) ## kill, freeze and cut off what runs on a real Apache Kafka, and judge what is left (FAULTS=long for longer)
	$(BIN)/pytest -q tests/faults $(ARGS)

bench: $(DEV) ## measure against controls on a real Apache Kafka, into .local/bench (ARGS="ingest --scale full")
	$(BIN)/python -m tests.bench $(ARGS)

check: $(DEV) ## lint, format, types, imports, generated files
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m schemas.generate --check

format: $(DEV) ## format, and fix what can be fixed
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

schemas: $(DEV) ## write schemas/json and schemas/asyncapi anew
	$(BIN)/python -m schemas.generate

clean: ## forget the environment, caches and the local stack's data
	rm -rf $(VENV) .cache .local .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
