import Foundation
import Platform

/// What the demo model reads of a Messages API request: what was said last, and which tools it has already used about it.
struct DemoConversation {
    struct Step: Equatable {
        var tool: String
        var input: Value
        var result: String
        var isError: Bool
    }
    /// The person's last words, taken out of the envelope that the platform puts around them.
    var said: String
    /// Local time in `timezone`, as the platform's envelope tells it.
    var now: Date?
    var timezone: TimeZone
    /// Tool calls made since, with their results, in order.
    var steps: [Step]
    /// Tool name → names of its parameters.
    var tools: [String: Set<String>]
    var system: String
    /// How many files came with the message.
    var attachments: Int
    /// The first turn of the conversation.
    var isFirstTurn: Bool

    /// nil when the request is none that a model could answer (no messages, or the last one is the assistant's).
    init?(_ request: Value) {
        guard let messages = request["messages"]?.array, messages.last?["role"]?.string == "user" else { return nil }
        let asked = messages.lastIndex {
            $0["role"]?.string == "user" && !Self.blocks($0["content"]).contains { $0["type"]?.string == "tool_result" }
        }
        guard let asked else { return nil }
        let question = Self.blocks(messages[asked]["content"])
        let text = question.compactMap { $0["type"]?.string == "text" ? $0["text"]?.string : nil }.joined(separator: "\n")
        attachments = question.count { ["image", "document"].contains($0["type"]?.string) }
        isFirstTurn = !messages[..<asked].contains { $0["role"]?.string == "assistant" }
        system = Self.blocks(request["system"]).compactMap { $0["text"]?.string }.joined(separator: "\n")
        tools = Dictionary(
            (request["tools"]?.array ?? []).compactMap { tool in
                tool["name"]?.string.map { ($0, Set((tool["input_schema"]?["properties"]?.object ?? [:]).keys)) }
            }
        ) { first, _ in first }

        steps = []
        var open: [String: (name: String, input: Value)] = [:]
        for message in messages[(asked + 1)...] {
            for block in Self.blocks(message["content"]) {
                if block["type"]?.string == "tool_use", let id = block["id"]?.string, let name = block["name"]?.string {
                    open[id] = (name, block["input"] ?? .object([:]))
                } else if block["type"]?.string == "tool_result", let id = block["tool_use_id"]?.string, let call = open.removeValue(forKey: id) {
                    let result = Self.blocks(block["content"]).compactMap { $0["text"]?.string }.joined(separator: "\n")
                    steps.append(Step(tool: call.name, input: call.input, result: result, isError: block["is_error"]?.bool ?? false))
                }
            }
        }

        let context = DemoText.tag("context", in: text)
        timezone = context.flatMap { DemoText.attribute("timezone", in: $0) }.flatMap(TimeZone.init(identifier:)) ?? .gmt
        now = context.flatMap { DemoText.attribute("now", in: $0) ?? DemoText.attribute("time", in: $0) }.flatMap { [timezone] in
            DemoText.localTime($0, in: timezone)
        }
        said = DemoText.lastMessage(in: text)
    }

    private static func blocks(_ content: Value?) -> [Value] {
        switch content {
        case .string(let text): [.object(["type": "text", "text": .string(text)])]
        case .array(let blocks): blocks
        default: []
        }
    }
}

/// The small text work of the demo: the platform's XML envelope and local times. Linear, no regular expressions over
/// what strangers wrote.
enum DemoText {
    /// The words of the last `<message …>…</message>`, else everything but tags that the platform adds.
    static func lastMessage(in text: String) -> String {
        if let start = text.range(of: "<message ", options: .backwards) ?? text.range(of: "<message>", options: .backwards),
            let open = text.range(of: ">", range: start.lowerBound..<text.endIndex)
        {
            let end = text.range(of: "</message>", range: open.upperBound..<text.endIndex)?.lowerBound ?? text.endIndex
            return unescaped(String(text[open.upperBound..<end])).trimmingCharacters(in: .whitespacesAndNewlines)
        }
        var rest = text
        if let open = rest.range(of: "<context"), let close = rest.range(of: ">", range: open.upperBound..<rest.endIndex) {
            rest.removeSubrange(open.lowerBound..<close.upperBound)
        }
        return unescaped(rest.replacingOccurrences(of: "</context>", with: "")).trimmingCharacters(in: .whitespacesAndNewlines)
    }

    /// The inside of the first `<name …>`.
    static func tag(_ name: String, in text: String) -> String? {
        guard let open = text.range(of: "<\(name) "), let close = text.range(of: ">", range: open.upperBound..<text.endIndex) else { return nil }
        return String(text[open.upperBound..<close.lowerBound])
    }
    static func attribute(_ name: String, in tag: String) -> String? {
        guard let start = tag.range(of: "\(name)=\""), let end = tag.range(of: "\"", range: start.upperBound..<tag.endIndex) else { return nil }
        return unescaped(String(tag[start.upperBound..<end.lowerBound]))
    }
    static func unescaped(_ text: String) -> String {
        [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#39;", "'"), ("&apos;", "'"), ("&amp;", "&")].reduce(text) {
            $0.replacingOccurrences(of: $1.0, with: $1.1)
        }
    }

    /// Reads `2026-03-01T09:00:00` (also without seconds) as local, `…Z` as UTC.
    static func localTime(_ text: String, in timezone: TimeZone) -> Date? {
        if text.hasSuffix("Z") { return Timestamp.date(text) }
        let numbers = text.prefix(19).split { !$0.isNumber }.compactMap { Int($0) }
        guard numbers.count >= 5 else { return nil }
        var calendar = Calendar(identifier: .gregorian)
        calendar.timeZone = timezone
        return calendar.date(
            from: DateComponents(
                year: numbers[0], month: numbers[1], day: numbers[2], hour: numbers[3], minute: numbers[4], second: numbers.count > 5 ? numbers[5] : 0
            ))
    }
    static func localText(_ date: Date, in timezone: TimeZone) -> String {
        var calendar = Calendar(identifier: .gregorian)
        calendar.timeZone = timezone
        let parts = calendar.dateComponents([.year, .month, .day, .hour, .minute, .second], from: date)
        func two(_ value: Int?) -> String { (value ?? 0) < 10 ? "0\(value ?? 0)" : "\(value ?? 0)" }
        return "\(parts.year ?? 0)-\(two(parts.month))-\(two(parts.day))T\(two(parts.hour)):\(two(parts.minute)):\(two(parts.second))"
    }

    /// The text of a file as `Read` shows it: line numbers (`     1→` or `     1\t`) taken off.
    static func unnumbered(_ shown: String) -> [String] {
        var lines: [String] = []
        for line in shown.split(separator: "\n", omittingEmptySubsequences: false) {
            let digits = line.drop { $0 == " " }.prefix { $0.isNumber }
            let rest = line.drop { $0 == " " }.dropFirst(digits.count)
            if !digits.isEmpty, let mark = rest.first, mark == "→" || mark == "\t" || mark == "|" {
                lines.append(String(rest.dropFirst()))
            } else if line.hasPrefix("<system-reminder>") {
                break
            } else if digits.isEmpty {
                lines.append(String(line))
            }
        }
        while lines.last?.isEmpty == true { lines.removeLast() }
        return lines
    }
}
