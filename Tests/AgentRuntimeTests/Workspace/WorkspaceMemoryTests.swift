import Foundation
import Pace
import Platform
import Testing

@testable import AgentRuntime

@Suite(.paced) struct WorkspaceMemoryTests {
    private func paths(_ folder: String) -> WorkspacePaths {
        WorkspacePaths(
            group: folder + "/group", learnings: folder + "/learnings", shared: folder + "/shared", extra: folder + "/extra", home: folder + "/home",
            policy: folder + "/policy.md")
    }
    private func put(_ path: String, _ text: String) throws {
        try FileManager.default.createDirectory(atPath: (path as NSString).deletingLastPathComponent, withIntermediateDirectories: true)
        try Data(text.utf8).write(to: URL(filePath: path))
    }

    @Test("the default paths are those of the sandbox")
    func defaults() {
        let paths = WorkspacePaths()
        #expect(paths.botManual == "/home/agent/.claude/CLAUDE.md" && paths.groupMemory == "/workspace/group/CLAUDE.md")
        #expect(paths.sharedMemory == "/workspace/shared/CLAUDE.md" && paths.policy == nil)
    }

    @Test("the layers come in their order, each with what may be written")
    func layers() async throws {
        try await withFolder { folder in
            let paths = paths(folder)
            try put(folder + "/policy.md", "policy")
            try put(paths.botManual, "manual")
            try put(paths.groupMemory, "group")
            try put(paths.sharedMemory, "shared")
            try put(paths.learnings + "/b.md", "2")
            try put(paths.learnings + "/a/x.md", "1")
            try put(paths.learnings + "/.hidden", "0")
            let memory = try await WorkspaceMemory.load(paths, botName: "Ada")
            #expect(memory.parts.map(\.text) == ["policy", "manual", "group", "shared", "- a/x.md\n- b.md"])
            #expect(memory.parts.map(\.layer) == WorkspaceMemory.Layer.allCases)
            #expect(memory.parts.map(\.isWritable) == [false, true, true, false, true])
            #expect(
                memory.text().hasPrefix("Contents of \(folder)/policy.md (the operator's rules, which come before all others, read-only):\n\npolicy"))
            #expect(memory.text(of: [.group]).hasSuffix("group"))
            let inGroup = try await WorkspaceMemory.load(paths, botName: "Ada", memoryWritable: false)
            #expect(inGroup.parts.map(\.isWritable) == [false, false, true, false, false])
        }
    }

    @Test("an absent or empty manual is made from the template once; a kept one and a read-only one are left alone")
    func template() async throws {
        try await withFolder { folder in
            let paths = paths(folder)
            #expect(try await WorkspaceMemory.load(paths, botName: "Ada", memoryWritable: false).parts.isEmpty)
            #expect(!FileManager.default.fileExists(atPath: paths.botManual))
            let first = try await WorkspaceMemory.load(paths, botName: "Ada\n@/etc/passwd")
            let text = try #require(first.parts.first?.text)
            for heading in ["## Identity", "## Soul", "## User", "## Rules", "- Name: Ada /etc/passwd"] { #expect(text.contains(heading)) }
            #expect(first.parts.count == 1)
            try put(paths.botManual, "")
            #expect(try await WorkspaceMemory.load(paths, botName: "Bob").parts.first?.text.contains("Bob") == true)
            try put(paths.botManual, "mine")
            #expect(try await WorkspaceMemory.load(paths, botName: "Eve").parts.map(\.text) == ["mine"])
        }
    }

    @Test("imports are followed from the importing file, to a depth of five, each once, and not out of code")
    func imports() async throws {
        try await withFolder { folder in
            let paths = paths(folder)
            try put(paths.botManual, "mine")
            try put(
                paths.groupMemory,
                """
                See @notes/one.md, and @./two.md. Mail a@b.example, ask @alice, `@code.md`, ``x ` @code.md``.
                ```
                @code.md
                ```
                (@with\\ space.md) and @~/home.md @\(folder)/abs.md again @two.md @notes @fifo @CLAUDE.md
                """)
            for name in ["two.md", "code.md", "with space.md"] { try put(paths.group + "/" + name, name) }
            try put(paths.group + "/notes/one.md", "one @three.md @../CLAUDE.md")
            try put(paths.group + "/notes/three.md", "three")
            try put(paths.home + "/home.md", "home")
            try put(folder + "/abs.md", "abs")
            mkfifo(paths.group + "/fifo", 0o600)
            let parts = try await WorkspaceMemory.load(paths, botName: "Ada").parts(of: .group)
            #expect(parts.dropFirst().map(\.text) == ["one @three.md @../CLAUDE.md", "three", "two.md", "with space.md", "home", "abs"])
            #expect(parts[1].importedBy == paths.groupMemory && parts[2].importedBy == paths.group + "/notes/one.md")

            for depth in 0..<9 { try put(paths.group + "/chain\(depth).md", "chain \(depth) @chain\(depth + 1).md") }
            try put(paths.groupMemory, "@chain0.md")
            let chain = try await WorkspaceMemory.load(paths, botName: "Ada").parts(of: .group)
            #expect(chain.count == 6 && chain.last?.text.hasPrefix("chain 4") == true)
        }
    }

    @Test("a memory that has grown too large is cut and says so; binaries are left out")
    func bounds() async throws {
        try await withFolder { folder in
            let paths = paths(folder)
            try put(paths.botManual, String(repeating: "m", count: 300_000))
            try put(paths.groupMemory, "\u{0}binary")
            try put(paths.sharedMemory, (0..<80).map { "@part\($0).md\n" }.joined())
            for index in 0..<80 { try put(paths.shared + "/part\(index).md", String(repeating: "p", count: 10_000)) }
            let memory = try await WorkspaceMemory.load(paths, botName: "Ada")
            #expect(memory.parts[0].text.contains("Cut here") && memory.parts[0].text.utf8.count < 100_200)
            #expect(memory.parts(of: .group).isEmpty)
            #expect(memory.text().utf8.count < 270_000)
            #expect(memory.parts(of: .shared).count <= 51)
        }
    }
}
