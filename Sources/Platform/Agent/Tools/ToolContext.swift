import Foundation
import Platform
import Synchronization

/// What tools share during the life of a session: where they are, what was read, what runs.
public struct ToolContext: Sendable {
    /// Where the session begins, and where it falls back to when its working directory is gone.
    public var workspace: String
    public var directory: WorkingDirectory
    public var files: ReadFileRegistry
    public var todos: TodoList
    /// Commands that go on after their call.
    public var commands: CommandGroups
    /// Commands that were started to go on beside the conversation.
    public var jobs: BackgroundJobs
    /// The model reads PDFs itself.
    public var takesDocuments = false
    /// For questions of a tool's own; nil where there is no model.
    public var sideModel: SideModel?
    /// What commands see; never the agent's own environment, which holds its process key.
    public var environment: [String: String]
    /// Where refused connections of commands are told; nil where nothing stands between.
    var refusals: EgressRefusals?
    /// No command runs longer.
    public var deadline: Date?
    public var limits: ToolLimits
    /// Told now and then what a long command does (its last line), for people who watch.
    public var progress: @Sendable (String) -> Void

    public init(
        workspace: String, environment: [String: String] = ToolContext.inheritedEnvironment(), deadline: Date? = nil,
        limits: ToolLimits = ToolLimits(),
        progress: @escaping @Sendable (String) -> Void = { _ in }
    ) {
        self.workspace = workspace; self.environment = environment; self.deadline = deadline; self.limits = limits; self.progress = progress
        directory = WorkingDirectory(workspace)
        files = ReadFileRegistry()
        todos = TodoList()
        commands = CommandGroups()
        jobs = BackgroundJobs()
    }

    /// For a sub-agent: the same machine and limits, but a working directory, a plan and a knowledge of files of its own.
    func separate() -> ToolContext {
        var copy = self
        copy.directory = WorkingDirectory(workspace)
        copy.files = ReadFileRegistry()
        copy.todos = TodoList()
        return copy
    }

    /// Ends everything that still runs in the background.
    func endBackground() {
        jobs.endAll()
        commands.killAll()
    }

    /// The process's environment without what is the platform's own.
    public static func inheritedEnvironment(_ environment: [String: String] = ProcessInfo.processInfo.environment) -> [String: String] {
        environment.filter { name, _ in !["CLAWBOT_", "ANTHROPIC_", "ADMIN_", "AWS_"].contains { name.hasPrefix($0) } }
    }

    /// The absolute form of a path that may be relative to the working directory or to the home directory.
    func resolve(_ path: String) throws(ToolError) -> String {
        guard !path.isEmpty, !path.utf8.contains(0) else { throw ToolError("The path is empty or holds a NUL character.") }
        var absolute = path
        if path == "~" || path.hasPrefix("~/"), let home = environment["HOME"] {
            absolute = home + path.dropFirst()
        } else if !path.hasPrefix("/") {
            absolute = directory.path + "/" + path
        }
        var parts: [Substring] = []
        for part in absolute.split(separator: "/") where part != "." {
            // Lexical, as shells show it; `realpath` settles links where it matters.
            if part == ".." { _ = parts.popLast() } else { parts.append(part) }
        }
        return "/" + parts.joined(separator: "/")
    }

    /// A path as it is shown: relative when it lies in the working directory.
    func shown(_ path: String) -> String {
        let prefix = directory.path + "/"
        return path.hasPrefix(prefix) ? String(path.dropFirst(prefix.count)) : path
    }

    /// At most `wanted`, and no longer than the run has.
    func timeLeft(_ wanted: Duration) -> Duration {
        guard let deadline else { return wanted }
        return min(wanted, .seconds(max(0, deadline.timeIntervalSinceNow)))
    }
}

/// Bounds of what tools give to the model.
public struct ToolLimits: Sendable {
    /// Bytes of a command's output that the model sees, half from its beginning and half from its end.
    public var outputBytes = 30_000
    /// Bytes of a command's output that are kept in a file.
    public var outputFileBytes = 16 << 20
    /// Where those files go.
    public var outputDirectory = "/tmp/clawbot-output"
    public var readLines = 2000
    public var lineCharacters = 2000
    /// Bytes of one `Read` result.
    public var readBytes = 200_000
    /// An image's bytes. Base64 makes 4 of 3, and the Messages API refuses images over 5 MiB in that form.
    public var imageBytes = 3_932_160
    /// A PDF's bytes: the Messages API takes 32 MB in one request, everything in it included.
    public var documentBytes = 10 << 20
    /// Largest file that `Edit` takes.
    public var editBytes = 10 << 20
    public var globResults = 100
    public var grepLines = 250
    /// How long `Glob` and `Grep` may search.
    public var searchTime: Duration = .seconds(20)
    /// Bytes of a page that are shown; a longer one is kept in a file.
    public var webText = 40_000
    /// Bytes of a page that a question about it is asked over.
    public var webQuestionText = 300_000
    var web = WebClient.Limits()
    /// Background commands that run at the same time.
    public var jobs = 16
    /// Bytes of text in one result, whatever tool it comes from; the middle of a longer one is left out.
    public var resultBytes = 220_000
    /// Bytes of text, and of images and documents, in the results of one turn.
    public var turnBytes = 400_000
    public var turnMediaBytes = 20 << 20
    public init() {}
}

/// The run's model for a question of a tool's own, apart from the conversation; its tokens count for the run.
public struct SideModel: Sendable {
    /// One user message, answered with what the given tools, which the provider runs itself, find. In their JSON.
    let ask: @Sendable (_ question: String, _ serverTools: [Value]) async throws -> ChatMessage

    func answer(_ question: String) async throws -> String { try await ask(question, []).text }
}

/// The directory that a session's commands are in, kept across calls.
public final class WorkingDirectory: Sendable {
    private let state: Mutex<String>
    public init(_ path: String) { state = Mutex(path) }
    public var path: String {
        get { state.withLock { $0 } }
        set { state.withLock { $0 = newValue } }
    }
}

/// Which files the model has seen, and as they were then: what it did not see, it may not overwrite.
public final class ReadFileRegistry: Sendable {
    private let stamps = Mutex<[String: FileStamp]>([:])
    public init() {}

    func note(_ path: String, _ stamp: FileStamp) { stamps.withLock { $0[path] = stamp } }
    func stamp(_ path: String) -> FileStamp? { stamps.withLock { $0[path] } }

    /// For what the engine has shown the model itself, such as a memory file. Does nothing when there is no such file.
    public func noteRead(_ path: String) {
        guard let real = FileAccess.realPath(path), let status = FileAccess.status(real) else { return }
        note(real, status.stamp)
    }
}
