import Foundation
import Platform

@testable import AgentRuntime

/// A folder with a session's context, for the time of one test.
struct ToolWorld {
    let folder: String
    var context: ToolContext

    static func run(_ body: (inout ToolWorld) async throws -> Void) async throws {
        try await withFolder { folder in
            var limits = ToolLimits()
            limits.outputDirectory = folder + "-output"
            defer { try? FileManager.default.removeItem(atPath: limits.outputDirectory) }
            var world = ToolWorld(folder: folder, context: ToolContext(workspace: folder, limits: limits))
            defer { world.context.commands.killAll() }
            try await body(&world)
        }
    }

    func call(_ tool: any AgentTool, _ input: [String: Value]) async throws -> ToolResult { try await tool.outcome(of: .object(input), in: context) }
    func bash(_ command: String, timeout: Int? = nil) async throws -> ToolResult {
        try await call(BashTool(), ["command": .string(command), "timeout": timeout.map(Value.int) ?? .null])
    }
    func read(_ path: String, offset: Int? = nil, limit: Int? = nil) async throws -> ToolResult {
        try await call(ReadTool(), ["file_path": .string(path), "offset": offset.map(Value.int) ?? .null, "limit": limit.map(Value.int) ?? .null])
    }
    func write(_ path: String, _ content: String) async throws -> ToolResult {
        try await call(WriteTool(), ["file_path": .string(path), "content": .string(content)])
    }
    func edit(_ path: String, _ old: String, _ new: String, all: Bool = false) async throws -> ToolResult {
        try await call(EditTool(), ["file_path": .string(path), "old_string": .string(old), "new_string": .string(new), "replace_all": .bool(all)])
    }

    /// Puts a file there without the tools.
    func put(_ path: String, _ content: some Sequence<UInt8>) throws {
        let url = URL(filePath: folder + "/" + path)
        try FileManager.default.createDirectory(at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
        try Data(content).write(to: url)
    }
    func put(_ path: String, _ content: String) throws { try put(path, content.utf8) }
    func content(_ path: String) throws -> String { try String(contentsOfFile: folder + "/" + path, encoding: .utf8) }
    func setModified(_ path: String, _ seconds: Double) throws {
        try FileManager.default.setAttributes([.modificationDate: Date(timeIntervalSince1970: seconds)], ofItemAtPath: folder + "/" + path)
    }
}

/// Whether a condition comes true within a minute.
func eventually(_ condition: () throws -> Bool) async rethrows -> Bool {
    let deadline = ContinuousClock.now + .seconds(60)
    while ContinuousClock.now < deadline {
        if try condition() { return true }
        try? await Task.sleep(for: .milliseconds(5))
    }
    return try condition()
}

/// Whether a process is there and not a zombie.
func isRunning(_ process: Int32) -> Bool {
    guard kill(process, 0) == 0 else { return false }
    guard let status = try? String(contentsOfFile: "/proc/\(process)/stat", encoding: .utf8) else { return true }
    return !status.contains(") Z ")
}
