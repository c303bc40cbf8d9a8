import Foundation

/// What a person asked the demo for, read by plain words.
enum DemoIntent: Equatable {
    enum When: Equatable {
        case after(seconds: Int)
        case every(seconds: Int)
        case daily(hour: Int, minute: Int)
    }
    case greet
    case help
    case remember(String)
    case recall
    case question
    case listFiles
    case writeFile(name: String, content: String, send: Bool)
    case sendFile(String)
    case showFile(String)
    case run(String)
    case remind(String, When)
    case tooOften
    case listTasks
    case cancelTask(String)
    case searchHistory(String)
    case count(to: Int)
    case reminderDue(String)
    case other

    init(_ said: String) {
        let text = String(said.prefix(20_000)).trimmingCharacters(in: .whitespacesAndNewlines)
        self = Self.read(text)
    }

    private static func read(_ text: String) -> DemoIntent {
        if let mark = text.range(of: "Reminder: "),
            text.hasPrefix("Reminder: ") || text[..<mark.lowerBound].localizedCaseInsensitiveContains("scheduled")
        {
            return .reminderDue(String(text[mark.upperBound...]).trimmingCharacters(in: .whitespacesAndNewlines))
        }
        var words = Words(text)
        words.skip("please")
        while words.skip("hey") || words.skip("hello") || words.skip("hi") || words.skip("hallo") { if words.isEmpty { return .greet } }
        if words.isEmpty { return .greet }
        words.skip("please"); words.skip("can", "you"); words.skip("could", "you"); words.skip("please")

        if words.is("help") || words.starts("what", "can", "you", "do") || words.starts("who", "are", "you")
            || words.starts("start") && words.count == 1
        {
            return .help
        }
        if words.skip("remember") { words.skip("that"); return words.isEmpty ? .recall : .remember(words.rest) }
        if words.starts("what", "do", "you", "remember") || words.starts("do", "you", "remember") || words.starts("recall")
            || words.starts("what", "did", "i", "tell") || words.starts("what", "do", "you", "know")
        {
            return .recall
        }
        if words.starts("list", "files") || words.starts("list", "the", "files") || words.starts("list", "my", "files")
            || words.starts("show", "files") || words.starts("list", "all", "files") || words.is("ls")
        {
            return .listFiles
        }
        if words.skip("count", "to"), let top = Int(words.first.filter(\.isNumber)) { return .count(to: max(1, min(top, 2000))) }
        if let intent = file(words) { return intent }
        if words.skip("run", "command") || words.skip("run", "the", "command") || words.skip("run") || words.skip("execute") || words.skip("$") {
            if !words.isEmpty { return .run(unquoted(words.rest)) }
        }
        if let intent = reminder(words) { return intent }
        if words.starts("list", "tasks") || words.starts("list", "reminders") || words.starts("list", "my", "tasks")
            || words.starts("list", "my", "reminders") || words.starts("show", "tasks")
        {
            return .listTasks
        }
        if words.skip("cancel", "task") || words.skip("cancel", "reminder") { return .cancelTask(words.first) }
        if words.skip("search", "history", "for") || words.skip("search", "history") || words.skip("search", "for") {
            return .searchHistory(unquoted(words.rest))
        }
        if text.hasSuffix("?") { return .question }
        return .other
    }

    private static func file(_ start: Words) -> DemoIntent? {
        var words = start
        if words.skip("write", "a", "file") || words.skip("write", "file") || words.skip("create", "a", "file") || words.skip("create", "file")
            || words.skip("write", "the", "file") || words.skip("make", "a", "file")
        {
            words.skip("called"); words.skip("named")
            let name = unquoted(words.pop())
            guard !name.isEmpty else { return nil }
            words.skip("with", "the", "content"); words.skip("with", "the", "text"); words.skip("with", "content"); words.skip("with");
            words.skip("containing"); words.skip("that", "says")
            var content = words.rest
            var send = false
            for ending in [" and send it back to me", " and send it to me", " and send it back", " and send me the file", " and send it"] {
                let trimmed = content.trimmingCharacters(in: CharacterSet(charactersIn: ". !"))
                if trimmed.lowercased().hasSuffix(ending) { content = String(trimmed.dropLast(ending.count)); send = true; break }
            }
            return .writeFile(name: name.hasSuffix(",") ? String(name.dropLast()) : name, content: unquoted(content), send: send)
        }
        words = start
        if words.skip("send", "me", "the", "file") || words.skip("send", "the", "file") || words.skip("send", "me", "file")
            || words.skip("send", "file")
        {
            return words.isEmpty ? nil : .sendFile(name(words.pop()))
        }
        if words.skip("read", "the", "file") || words.skip("show", "the", "file") || words.skip("read", "file") || words.skip("show", "file")
            || words.skip("show", "me", "the", "file")
        {
            return words.isEmpty ? nil : .showFile(name(words.pop()))
        }
        return nil
    }

    private static func reminder(_ start: Words) -> DemoIntent? {
        var words = start
        if words.skip("every") {
            guard let when = repetition(&words) else { return nil }
            words.skip("remind", "me"); words.skip("to"); words.skip("that")
            if case .every(let seconds) = when, seconds < 60 { return .tooOften }
            return .remind(subject(words.rest), when)
        }
        let leads = words.skip("in")
        if leads {
            guard let seconds = duration(&words) else { return nil }
            guard words.skip("remind", "me") else { return nil }
            words.skip("to"); words.skip("that")
            return .remind(subject(words.rest), .after(seconds: seconds))
        }
        guard words.skip("remind", "me") || words.skip("set", "a", "reminder") || words.skip("schedule", "a", "reminder") else { return nil }
        words.skip("for")
        if words.skip("every") {
            guard let when = repetition(&words) else { return nil }
            words.skip("to"); words.skip("that")
            if case .every(let seconds) = when, seconds < 60 { return .tooOften }
            return .remind(subject(words.rest), when)
        }
        if words.skip("in") {
            guard let seconds = duration(&words) else { return nil }
            words.skip("to"); words.skip("that"); words.skip("about")
            return .remind(subject(words.rest), .after(seconds: seconds))
        }
        // "remind me to X in N minutes"
        words.skip("to"); words.skip("that")
        let rest = words.rest
        guard let mark = rest.range(of: " in ", options: [.backwards, .caseInsensitive]) else { return nil }
        var tail = Words(String(rest[mark.upperBound...]))
        guard let seconds = duration(&tail) else { return nil }
        return .remind(subject(String(rest[..<mark.lowerBound])), .after(seconds: seconds))
    }

    private static func subject(_ text: String) -> String { text.isEmpty ? "you asked to be reminded" : text }

    private static func repetition(_ words: inout Words) -> When? {
        if words.skip("day", "at") {
            let parts = words.pop().split(separator: ":").compactMap { Int($0.filter(\.isNumber)) }
            guard let hour = parts.first, (0..<24).contains(hour) else { return nil }
            let minute = parts.count > 1 ? parts[1] : 0
            guard (0..<60).contains(minute) else { return nil }
            return .daily(hour: hour, minute: minute)
        }
        return duration(&words).map { .every(seconds: $0) }
    }

    private static func duration(_ words: inout Words) -> Int? {
        var probe = words
        var amount = 1
        if probe.skip("a") || probe.skip("an") || probe.skip("one") {} else if let number = Int(probe.first) { amount = number; _ = probe.pop() }
        let unit = probe.pop().lowercased().trimmingCharacters(in: CharacterSet(charactersIn: ",.:!"))
        let scale: Int? =
            switch unit {
            case "second", "seconds", "sec", "secs", "s": 1
            case "minute", "minutes", "min", "mins", "m": 60
            case "hour", "hours", "h": 3600
            case "day", "days": 86_400
            default: nil
            }
        guard let scale, (1...100_000).contains(amount) else { return nil }
        words = probe
        return amount * scale
    }

    private static func name(_ text: String) -> String { unquoted(text.trimmingCharacters(in: CharacterSet(charactersIn: "?!,"))) }

    private static func unquoted(_ text: String) -> String {
        let text = text.trimmingCharacters(in: .whitespacesAndNewlines)
        for quote in ["\"", "'", "`"] where text.count >= 2 && text.hasPrefix(quote) && text.hasSuffix(quote) {
            return String(text.dropFirst().dropLast())
        }
        return text
    }
}

/// A text eaten word by word.
private struct Words {
    private var text: Substring
    init(_ text: String) { self.text = Substring(text) }

    var isEmpty: Bool { text.allSatisfy(\.isWhitespace) }
    var rest: String { text.trimmingCharacters(in: .whitespacesAndNewlines) }
    var first: String { var copy = self; return copy.pop() }
    var count: Int { text.split(whereSeparator: \.isWhitespace).count }

    mutating func pop() -> String {
        text = text.drop(while: \.isWhitespace)
        if let quote = text.first, quote == "\"" || quote == "`", let end = text.dropFirst().firstIndex(of: quote) {
            let word = text[...end]
            text = text[text.index(after: end)...]
            return String(word)
        }
        let word = text.prefix { !$0.isWhitespace }
        text = text.dropFirst(word.count)
        return String(word)
    }
    func starts(_ words: String...) -> Bool { var copy = self; return copy.skipAll(words) }
    func `is`(_ word: String) -> Bool { var copy = self; return copy.skipAll([word]) && copy.isEmpty }
    @discardableResult mutating func skip(_ words: String...) -> Bool { skipAll(words) }

    private mutating func skipAll(_ words: [String]) -> Bool {
        var copy = self
        for word in words {
            let next = copy.pop().lowercased()
            guard next == word || next.trimmingCharacters(in: CharacterSet(charactersIn: ",.!:?")) == word else { return false }
        }
        self = copy
        return true
    }
}
