import ArgumentParser
struct Serve: ParsableCommand {}
struct Agent: ParsableCommand {}
struct Doctor: ParsableCommand {}
struct Migrate: ParsableCommand {}
