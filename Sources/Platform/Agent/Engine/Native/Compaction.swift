import Foundation
import Platform

/// What a conversation is shortened to when it grows too long for the model, and how.
enum Compaction {
    /// The words that ask for the summary. `focus`: the `/compact` message as it came, which may name what matters.
    static func request(focus: String?) -> String {
        """
        <system-note>
        This conversation becomes too long and will be replaced by a summary that only you will read. Write that summary now, as plain text, \
        without calling any tool. Keep everything that is needed to go on as if nothing had happened:
        1. who takes part and what they want, with their own words where the wording matters;
        2. decisions, facts, names, numbers, dates, links and preferences that came up;
        3. what was done, with the paths of the files that were read, made or changed, and what they now hold;
        4. what went wrong and how it was solved;
        5. what is unfinished, what was promised, and the next step.
        Leave out pleasantries and anything that is already in the memory files.
        \(focus.map { "The request that asked for this, in case it names what matters most:\n\($0)" } ?? "")
        </system-note>
        """
    }

    static func opening(_ summary: String, archive: String?) -> String {
        """
        <system-note>The conversation before this point was replaced by your summary of it\(archive.map { "; the full text is in \($0)" } ?? "").</system-note>
        <summary>
        \(summary)
        </summary>
        """
    }
    static let acknowledgement = ChatMessage.assistant("Understood. I continue from this summary.")

    /// The conversation with the request for its summary at the end; roles still alternate.
    static func asking(_ text: String, after messages: [ChatMessage], withoutThinking: Bool) -> [ChatMessage] {
        var all = messages
        if withoutThinking {
            all = all.map { ChatMessage(role: $0.role, content: $0.content.filter { !$0.isThinking }) }.filter { !$0.content.isEmpty }
        }
        if all.last?.role == .user { all[all.count - 1].content.append(.text(text)) } else { all.append(.user(text)) }
        return all
    }

    /// The newer half, beginning with a person's message, for a conversation that is too long even to be summarised.
    static func newerHalf(of messages: [ChatMessage]) -> [ChatMessage] {
        let half = messages.dropFirst(max(1, messages.count / 2))
        let start = half.firstIndex { $0.role == .user && !$0.content.contains { if case .toolResult = $0 { true } else { false } } }
        guard let start else { return [.user(excerpt(of: messages))] }
        return Array(messages[start...])
    }

    /// The end of the conversation as plain text, for when no model could summarise it.
    static func excerpt(of messages: [ChatMessage]) -> String {
        let limit = 8000
        let text = messages.filter { !$0.text.isEmpty }.map { "\($0.role.rawValue): \($0.text)" }.joined(separator: "\n\n")
        return text.utf8.count <= limit ? text : "…" + String(text.suffix(limit / 2))
    }

    /// - Returns: the archive's path; nil when it could not be written (a full disk must not end the conversation).
    static func writeArchive(_ messages: [ChatMessage], of session: String, into directory: String) -> String? {
        let stamp = Timestamp.text(Date()).prefix(19).replacingOccurrences(of: ":", with: "-")
        let path = "\(directory)/\(stamp)-\(session).md"
        do {
            try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
            try Data(archive(messages, title: "Conversation until \(stamp) UTC").utf8).write(to: URL(fileURLWithPath: path), options: .atomic)
            return path
        } catch {
            return nil
        }
    }

    /// The conversation as Markdown, for `conversations/`.
    static func archive(_ messages: [ChatMessage], title: String) -> String {
        var out = "# \(title)\n"
        for message in messages {
            for block in message.content {
                switch block {
                case .text(let text): out += "\n**\(message.role == .user ? "User" : "Assistant")**\n\n\(text)\n"
                case .toolUse(let use): out += "\n> \(use.name) \((try? JSON.text(use.input))?.prefix(2000) ?? "")\n"
                case .toolResult(let result):
                    let text = result.content.compactMap(\.text).joined(separator: "\n").prefix(4000)
                    out += "\n```\n\(text.replacingOccurrences(of: "```", with: "'''"))\n```\n"
                case .image: out += "\n(image)\n"
                case .document(_, let title): out += "\n(document \(title ?? ""))\n"
                case .thinking, .redactedThinking, .other: break
                }
            }
        }
        return out
    }
}

/// Tokens without a tokenizer: about four bytes of JSON or prose make one.
enum TokenEstimate {
    static func tokens(bytes: Int) -> Int { (bytes + 3) / 4 }
    static func tokens(_ text: String) -> Int { tokens(bytes: text.utf8.count) }

    /// An image of the largest size that is not scaled down.
    static let image = 1600
    /// What of some blocks is encoded files, and the tokens that a model counts for them: a PDF's page is about 40 KB and 2500 tokens.
    static func media(_ blocks: [ContentBlock]) -> (bytes: Int, tokens: Int) {
        var bytes = 0, tokens = 0
        for block in blocks {
            switch block {
            case .image(let source):
                if case .base64(_, let data) = source { bytes += data.utf8.count }
                tokens += image
            case .document(.base64(_, let data), _):
                bytes += data.utf8.count
                tokens += max(1, data.utf8.count / 53_000) * 2500
            case .document(.url, _): tokens += 10_000
            case .toolResult(let result):
                let inner = media(result.content)
                bytes += inner.bytes
                tokens += inner.tokens
            default: break
            }
        }
        return (bytes, tokens)
    }

    static func text(_ tokens: Int) -> String {
        tokens < 1000 ? String(tokens) : "\(tokens / 1000).\(tokens % 1000 / 100)k"
    }
}

/// The answer to `/context`.
enum ContextReport {
    static func text(parts: [(String, Int)], messages: [ChatMessage], lastUsage: ModelUsage?, window: Int, model: String) -> String {
        var people = 0, assistant = 0, results = 0, media = 0
        for message in messages {
            for block in message.content {
                switch block {
                case .text(let text): if message.role == .user { people += TokenEstimate.tokens(text) } else { assistant += TokenEstimate.tokens(text) }
                case .toolUse(let use): assistant += TokenEstimate.tokens((try? JSON.text(use.input)) ?? "")
                case .toolResult(let result):
                    for part in result.content { if let text = part.text { results += TokenEstimate.tokens(text) } }
                    media += TokenEstimate.media(result.content).tokens
                case .image, .document: media += TokenEstimate.media([block]).tokens
                case .thinking(let text, _): assistant += TokenEstimate.tokens(text)
                case .redactedThinking, .other: break
                }
            }
        }
        let rows = parts + [("Messages of people", people), ("Own messages and tool calls", assistant), ("Tool results", results), ("Images and documents", media)]
        let estimated = rows.reduce(0) { $0 + $1.1 }
        let total = lastUsage.map(\.context) ?? estimated
        var out = "**Context of this conversation** (\(model))\n\n"
        out += "Used: \(TokenEstimate.text(total)) of \(TokenEstimate.text(window)) tokens (\(total * 100 / max(1, window)) %)"
        out += lastUsage == nil ? ", estimated\n\n" : ", as the model counted last\n\n"
        for (name, tokens) in rows where tokens > 0 { out += "- \(name): about \(TokenEstimate.text(tokens))\n" }
        if let lastUsage {
            out += "\nLast call: \(TokenEstimate.text(lastUsage.cacheRead)) tokens read from the cache, \(TokenEstimate.text(lastUsage.cacheWrite)) written, \(TokenEstimate.text(lastUsage.input)) new, \(TokenEstimate.text(lastUsage.output)) answered."
        }
        return out
    }
}
