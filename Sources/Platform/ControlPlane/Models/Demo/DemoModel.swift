import Foundation
import Platform

/// The demo's stand-in for a model: deterministic, without key or network, labelled in every reply.
///
/// It reads one Messages API request and says what the assistant does next; the tools that it asks for are run by the
/// real engine in the real sandbox.
public enum DemoModel {
    public static let id = "demo"
    static let label = "[demo] "
    static let memoryFile = "/workspace/group/CLAUDE.md"
    static let workspace = "/workspace/group/"

    public struct Turn: Sendable, Equatable {
        public struct ToolUse: Sendable, Equatable {
            public var name: String
            public var input: [String: Value]
        }
        public var text: String
        public var tool: ToolUse?
    }

    /// What the assistant does next, or nil when the request cannot be answered (no user message at its end).
    /// - Parameter now: only for requests whose envelope tells no time.
    public static func respond(to request: Value, now: Date = Date()) -> Turn? {
        guard let conversation = DemoConversation(request) else { return nil }
        return Plan(conversation: conversation, now: conversation.now ?? now).next()
    }
}

/// The next step of one request: what was asked, and what the tools have answered so far.
private struct Plan {
    typealias Turn = DemoModel.Turn
    let conversation: DemoConversation
    let now: Date
    private var steps: [DemoConversation.Step] { conversation.steps }

    init(conversation: DemoConversation, now: Date) { self.conversation = conversation; self.now = now }

    func next() -> Turn {
        // A tool loop of the demo is at most six calls long, whatever the tools answer.
        guard steps.count < 6 else {
            return say("I tried several times and it did not work. The last answer was: \(excerpt(steps.last?.result ?? ""))")
        }
        switch DemoIntent(conversation.said) {
        case .greet: return say(greeting)
        case .help: return say(help)
        case .remember(let fact): return remember(fact)
        case .recall: return recall(matching: nil)
        case .question: return recall(matching: conversation.said)
        case .listFiles: return listFiles()
        case .writeFile(let name, let content, let send): return write(name, content, send: send)
        case .sendFile(let name): return sendFile(name)
        case .showFile(let name):
            return once("Read", [("file_path", .string(path(name)))]) {
                "`\(name)` says:\n```\n\(excerpt(DemoText.unnumbered($0.result).joined(separator: "\n")))\n```"
            }
        case .run(let command):
            return once("Bash", [("command", .string(command)), ("description", "Run the command that was asked for")]) { step in
                step.isError ? "`\(command)` failed:\n```\n\(excerpt(step.result))\n```" : "`\(command)` printed:\n```\n\(excerpt(step.result))\n```"
            }
        case .remind(let what, let when): return remind(what, when)
        case .tooOften: return say("A reminder can repeat once a minute at most.")
        case .listTasks: return once("mcp__clawbot__list_tasks", []) { "These are the scheduled tasks of this conversation:\n\(excerpt($0.result))" }
        case .cancelTask(let id): return once("mcp__clawbot__cancel_task", [("taskId|task_id|id", .string(id))]) { excerpt($0.result) }
        case .searchHistory(let query):
            return once("mcp__clawbot__search_history", [("query", .string(query))]) { "The history says:\n\(excerpt($0.result))" }
        case .count(let top): return say((1...top).map(String.init).joined(separator: " "))
        case .reminderDue(let what): return say("⏰ Reminder: \(what)")
        case .other: return say(echo)
        }
    }

    // MARK: - Words

    private var greeting: String {
        "Hello! I am the built-in demo: no language model, only a few fixed tricks that go through the real platform (agent, sandbox, memory, tasks).\n\n\(tricks)"
    }
    private var help: String { "I am the built-in demo, not a language model. \(tricks)" }
    private var tricks: String {
        """
        Try:
        - remember that my favourite colour is teal
        - what do you remember?
        - write a file notes.txt with hello world and send it to me
        - list files
        - run uname -a
        - remind me in 1 minute to stretch

        For real answers, add a model provider in the console, or start with ANTHROPIC_API_KEY set.
        """
    }
    private var echo: String {
        let files = conversation.attachments > 0 ? " I also got \(conversation.attachments) file(s), which a demo cannot look at." : ""
        return "You said: “\(excerpt(conversation.said, 500))”.\(files) I am only the demo and cannot answer freely; say “help” for what I can do."
    }

    private func say(_ text: String) -> Turn { Turn(text: DemoModel.label + text, tool: nil) }
    private func excerpt(_ text: String, _ limit: Int = 3000) -> String { text.count <= limit ? text : "\(text.prefix(limit))…" }
    private func path(_ name: String) -> String { name.hasPrefix("/") ? name : DemoModel.workspace + name }

    // MARK: - Tools

    /// Asks for a tool. Parameter names are given as alternatives (`a|b`): the one that the tool's schema has is used.
    private func use(_ tool: String, _ parameters: [(String, Value)]) -> Turn {
        guard let schema = conversation.tools[tool] else { return say("For that I would use the tool \(tool), which is not available here.") }
        var input: [String: Value] = [:]
        for (names, value) in parameters {
            let choices = names.split(separator: "|").map(String.init)
            if let name = choices.first(where: schema.contains) { input[name] = value } else if schema.isEmpty { input[choices[0]] = value }
        }
        return Turn(text: "", tool: .init(name: tool, input: input))
    }
    /// One call, then its answer in words.
    private func once(_ tool: String, _ parameters: [(String, Value)], _ words: (DemoConversation.Step) -> String) -> Turn {
        guard let step = steps.last else { return use(tool, parameters) }
        return step.isError && tool != "Bash" ? failed(step) : say(words(step))
    }
    private func failed(_ step: DemoConversation.Step) -> Turn { say("The tool \(step.tool) could not do it: \(excerpt(step.result, 1000))") }

    private func remember(_ fact: String) -> Turn {
        let note = "- \(fact.replacingOccurrences(of: "\n", with: " "))"
        guard let step = steps.last else { return use("Read", [("file_path", .string(DemoModel.memoryFile))]) }
        switch step.tool {
        case "Read":
            let lines = step.isError ? [] : DemoText.unnumbered(step.result)
            if lines.contains(note) { return say("I know that already: \(fact)") }
            guard let last = anchor(lines) else {
                return use("Write", [("file_path", .string(DemoModel.memoryFile)), ("content", .string("# Notes\n\n\(note)\n"))])
            }
            return use(
                "Edit", [("file_path", .string(DemoModel.memoryFile)), ("old_string", .string(last)), ("new_string", .string("\(last)\n\(note)"))])
        case "Write", "Edit":
            return step.isError ? failed(step) : say("I will remember: \(fact)")
        default: return failed(step)
        }
    }

    /// The end of the file, as short as it can be and still occur once.
    private func anchor(_ lines: [String]) -> String? {
        let text = lines.joined(separator: "\n")
        for count in 1...max(1, lines.count) {
            let tail = lines.suffix(count).joined(separator: "\n")
            if !tail.isEmpty, text.components(separatedBy: tail).count == 2 { return tail }
        }
        return nil
    }

    private func recall(matching question: String?) -> Turn {
        let notes: [String]
        if let step = steps.last {
            notes = step.isError ? [] : Self.notes(DemoText.unnumbered(step.result))
        } else if conversation.tools["Read"] != nil {
            return use("Read", [("file_path", .string(DemoModel.memoryFile))])
        } else {
            // No way to read: the memory as it stands in the system prompt.
            let memory = conversation.system.range(of: "group/CLAUDE.md").map { String(conversation.system[$0.upperBound...]) } ?? ""
            notes = Self.notes(memory.split(separator: "\n").map(String.init))
        }
        if let question {
            let asked = Self.keywords(question)
            let found = notes.filter { !Self.keywords($0).isDisjoint(with: asked) }
            return say(
                found.isEmpty
                    ? "I do not know; I am only the demo. I have \(notes.count) note(s) in my memory."
                    : "From my memory: \(found.joined(separator: "; "))")
        }
        return say(
            notes.isEmpty ? "I remember nothing yet. Tell me: remember that …" : "I remember:\n" + notes.map { "- \($0)" }.joined(separator: "\n"))
    }
    private static func notes(_ lines: [String]) -> [String] { lines.filter { $0.hasPrefix("- ") }.map { String($0.dropFirst(2)) } }
    private static func keywords(_ text: String) -> Set<String> {
        let common: Set<String> = ["what", "which", "where", "when", "that", "this", "your", "with", "have", "does", "about", "tell"]
        return Set(text.lowercased().split { !$0.isLetter && !$0.isNumber }.map(String.init).filter { $0.count >= 4 && !common.contains($0) })
    }

    private func listFiles() -> Turn {
        if conversation.tools["Glob"] == nil { return once("Bash", [("command", "ls -la")]) { "My files:\n```\n\(excerpt($0.result))\n```" } }
        return once("Glob", [("pattern", "**/*"), ("path", .string(String(DemoModel.workspace.dropLast())))]) {
            "My files:\n```\n\(excerpt($0.result))\n```"
        }
    }

    private func write(_ name: String, _ content: String, send: Bool) -> Turn {
        let write = { use("Write", [("file_path", .string(path(name))), ("content", .string(content))]) }
        guard let step = steps.last else { return write() }
        switch step.tool {
        case "Write" where step.isError && !steps.contains { $0.tool == "Read" }: return use("Read", [("file_path", .string(path(name)))])
        case "Read" where !step.isError: return write()
        case "Write" where !step.isError: return send ? sendTool(name) : say("I wrote `\(name)`.")
        case "mcp__clawbot__send_file" where !step.isError: return say("I wrote `\(name)` and sent it.")
        default: return failed(step)
        }
    }
    private func sendFile(_ name: String) -> Turn {
        guard let step = steps.last else { return sendTool(name) }
        return step.isError ? failed(step) : say("Here is `\(name)`.")
    }
    private func sendTool(_ name: String) -> Turn { use("mcp__clawbot__send_file", [("file_path|filePath|path|file", .string(path(name)))]) }

    private func remind(_ what: String, _ when: DemoIntent.When) -> Turn {
        let zone = conversation.timezone
        let (type, value, words): (String, String, String) =
            switch when {
            case .after(let seconds):
                (
                    "once", DemoText.localText(now + TimeInterval(seconds), in: zone),
                    "at \(DemoText.localText(now + TimeInterval(seconds), in: zone)) (\(zone.identifier))"
                )
            case .every(let seconds): ("interval", String(seconds / 60 * 60_000), "every \(seconds / 60) minute(s)")
            case .daily(let hour, let minute): ("cron", "\(minute) \(hour) * * *", "every day at \(hour):\(minute < 10 ? "0" : "")\(minute)")
            }
        return once(
            "mcp__clawbot__schedule_task",
            [
                ("prompt", .string("Reminder: \(what)")), ("scheduleType|schedule_type|type", .string(type)),
                ("scheduleValue|schedule_value|value", .string(value)),
                ("timezone", .string(zone.identifier)),
            ]
        ) { _ in "I will remind you \(words): \(what)" }
    }
}
