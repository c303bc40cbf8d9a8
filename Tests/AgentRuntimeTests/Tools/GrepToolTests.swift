import Foundation
import Pace
import Platform
import Testing

@testable import AgentRuntime

@Suite(.paced) struct GrepToolTests {
    private func tools() -> [(String, GrepTool)] {
        var own = GrepTool()
        own.usesRipgrep = false
        return [("rg", GrepTool()), ("own", own)]
    }
    private func fill(_ world: ToolWorld) throws {
        try world.put("a.swift", "import Foundation\nlet a = 1\nlet b = 2\nfunc c() {\n    a + b\n}\nlet d = 4\n")
        try world.put("sub/b.py", "import os\nLet = 'let it be'\nprint(Let)\n")
        try world.put("sub/c.txt", "nothing here\n")
        try world.put("binary", Array("let".utf8) + [0, 1, 2])
        try world.put(".git/config", "let me\n")
        for (index, path) in ["a.swift", "sub/b.py", "sub/c.txt"].enumerated() { try world.setModified(path, Double(1_000_000 + index)) }
    }

    @Test(
        "ripgrep and our own search find the same, in the same form",
        arguments: [
            ["pattern": "let"], ["pattern": "let", "-i": true, "output_mode": "count"], ["pattern": "let", "output_mode": "content"],
            ["pattern": "let", "output_mode": "content", "-n": false], ["pattern": "let b", "output_mode": "content", "-C": 1],
            ["pattern": "let", "output_mode": "content", "-A": 1],
            ["pattern": "^import", "output_mode": "content"], ["pattern": "import", "glob": "*.py"], ["pattern": "import", "glob": "!*.py"],
            ["pattern": "import", "type": "swift"],
            ["pattern": "import|let", "glob": "*.{py,swift}", "output_mode": "count"],
            ["pattern": "c\\(\\) \\{.*\\}", "multiline": true, "output_mode": "content"],
            ["pattern": "let", "path": "a.swift", "output_mode": "content"],
            ["pattern": "print\\(\\w+\\)$", "path": "sub", "output_mode": "content"], ["pattern": "zzz"],
            ["pattern": "let", "output_mode": "content", "-B": 1, "glob": "a.*"], ["pattern": "-n", "output_mode": "content"],
        ] as [[String: Value]])
    func same(input: [String: Value]) async throws {
        try await ToolWorld.run { world in
            try fill(world)
            var answers: [String: [String]] = [:]
            for (name, tool) in tools() {
                let result = try await world.call(tool, input)
                #expect(!result.isError, "\(name): \(result.text)")
                // Files are searched in no certain order.
                answers[name] = result.text.split(separator: "\n").map(String.init).sorted()
            }
            #expect(answers["rg"] == answers["own"])
            if input["pattern"] == "zzz" || input["pattern"] == "-n" { #expect(answers["own"] == ["No matches."]) }
        }
    }

    @Test("matches are shown with path and line, the newest file first in lists")
    func form() async throws {
        try await ToolWorld.run { world in
            try fill(world)
            for (_, tool) in tools() {
                #expect(try await world.call(tool, ["pattern": "^import"]).text == "sub/b.py\na.swift")
                #expect(
                    try await world.call(tool, ["pattern": "let b", "output_mode": "content", "-C": 1]).text
                        == "a.swift-2-let a = 1\na.swift:3:let b = 2\na.swift-4-func c() {")
                #expect(
                    try await world.call(tool, ["pattern": "let b", "output_mode": "content", "context": 1, "path": "a.swift"]).text
                        == (try await world.call(tool, ["pattern": "let b", "output_mode": "content", "-C": 1, "path": "a.swift"])).text)
                #expect(try await world.call(tool, ["pattern": "(unclosed"]).isError)
                #expect(try await world.call(tool, ["pattern": "let", "path": "absent"]).text.hasSuffix("does not exist."))
                #expect(try await world.call(tool, ["pattern": "let", "type": "no-such-type"]).isError)
            }
        }
    }

    @Test("head_limit and offset page through many matches")
    func pages() async throws {
        try await ToolWorld.run { world in
            try world.put("many", (1...1000).map { "row \($0)\n" }.joined())
            for (_, tool) in tools() {
                let first = try await world.call(tool, ["pattern": "row", "output_mode": "content", "head_limit": 2]).text
                #expect(first == "many:1:row 1\nmany:2:row 2\n(998 more; go on with offset 2, or narrow the search.)")
                #expect(
                    try await world.call(tool, ["pattern": "row", "output_mode": "content", "head_limit": 1, "offset": 999]).text
                        == "many:1000:row 1000")
                #expect(try await world.call(tool, ["pattern": "row", "output_mode": "content"]).text.split(separator: "\n").count == 251)
                #expect(
                    try await world.call(tool, ["pattern": "row", "output_mode": "content", "head_limit": 0]).text.split(separator: "\n").count
                        == 1000)
            }
        }
    }

    @Test("a pattern that backtracks without end is stopped in time")
    func backtracking() async throws {
        try await ToolWorld.run { world in
            try world.put("a", String(repeating: "a", count: 60) + "b\n")
            world.context.limits.searchTime = .milliseconds(300)
            let start = ContinuousClock.now
            for (_, tool) in tools() { _ = try await world.call(tool, ["pattern": "(a+)+$", "output_mode": "content"]) }
            #expect(ContinuousClock.now - start < .seconds(60))
        }
    }

    @Test("pipes and devices are not searched, and nothing hangs on them")
    func odd() async throws {
        try await ToolWorld.run { world in
            mkfifo(world.folder + "/fifo", 0o600)
            try world.put("a", "needle\n")
            for (_, tool) in tools() {
                #expect(try await world.call(tool, ["pattern": "needle"]).text == "a")
                #expect(try await world.call(tool, ["pattern": "x", "path": "fifo"]).text.contains("no plain file"))
            }
        }
    }

    @Test("the tools have the names, required parameters and kinds that models know")
    func schemas() {
        let known: [(String, [String], Bool)] = [
            ("Bash", ["command"], false), ("BashOutput", ["bash_id"], true), ("KillShell", ["shell_id"], false), ("Read", ["file_path"], true),
            ("Write", ["file_path", "content"], false), ("Edit", ["file_path", "old_string", "new_string"], false),
            ("NotebookEdit", ["notebook_path", "new_source"], false), ("Glob", ["pattern"], true), ("Grep", ["pattern"], true),
            ("WebFetch", ["url"], true), ("TodoWrite", ["todos"], false),
        ]
        #expect(BuiltInTools.all.map(\.name) == known.map(\.0))
        for (tool, (_, required, isReadOnly)) in zip(BuiltInTools.all, known) {
            #expect(tool.inputSchema["required"]?.array?.compactMap(\.string) == required)
            #expect(tool.inputSchema["type"] == "object" && tool.isReadOnly == isReadOnly && !tool.description.isEmpty)
            #expect(required.allSatisfy { tool.inputSchema["properties"]?[$0] != nil })
        }
    }

    @Test("the plan is kept, shown and checked")
    func todos() async throws {
        try await ToolWorld.run { world in
            let item: (String, String) -> Value = { .object(["content": .string($0), "status": .string($1), "activeForm": .string($0 + "ing")]) }
            let result = try await world.call(
                TodoWriteTool(), ["todos": .array([item("Read", "completed"), item("Test", "in_progress"), item("Ship", "pending")])])
            #expect(result.text == "The list is now:\n[x] Read\n[>] Test\n[ ] Ship")
            #expect(world.context.todos.items.map(\.status) == [.completed, .inProgress, .pending])
            #expect(
                try await world.call(TodoWriteTool(), ["todos": .array([item("Read", "done")])]).text.contains(
                    "must be one of pending, in_progress, completed"))
            #expect(world.context.todos.items.count == 3)
        }
    }
}
