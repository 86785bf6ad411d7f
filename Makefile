# Thin on purpose: the work is in scripts/.
.PHONY: help run test quick reference bench bench-gateway bench-micro soak fuzz

help:
	@echo "make run         build, fetch the weights once, serve on 127.0.0.1:8080   (ARGS=... goes to autarky serve)"
	@echo "make test        everything that must hold, with the time of each step"
	@echo "make quick       the same without the engine: no C++ compiler, nothing installed"
	@echo "make reference   write docs/reference anew"
	@echo "make fuzz        everything that reads what strangers send   (ARGS=\"SECONDS TARGET...\")"
	@echo "make bench       the house model against llama.cpp itself   (ARGS=ROUNDS)"
	@echo "make soak        an hour of mixed traffic: does anything grow, is anything lost?   (ARGS=\"--minutes 5\")"
	@echo "make bench-gateway   the gateway against its floors and its peers   (ARGS=ROUNDS)"
	@echo "make bench-micro   a request by its parts   (ARGS=NAME)"

run:
	@scripts/run $(ARGS)

test:
	@scripts/test

quick:
	@scripts/test quick

reference:
	@scripts/reference

bench:
	@scripts/bench $(ARGS)

fuzz:
	@scripts/fuzz $(ARGS)

soak:
	@scripts/soak $(ARGS)

bench-gateway:
	@scripts/bench-gateway $(ARGS)

bench-micro:
	@scripts/bench-micro $(ARGS)
