/// Takes the thinking out of a text that begins with `<think>`, as models write it whose server does not part the two (Qwen, DeepSeek's
/// open weights under older servers). Only at the very beginning: later the tag is a word like any other.
struct InlineThinking {
    enum Piece: Equatable { case thinking(String), text(String) }
    private enum State { case undecided(String), inside(String), closing, outside }
    private var state = State.undecided("")
    private static let opening = "<think>", ending = "</think>"

    mutating func take(_ text: String) -> [Piece] {
        switch state {
        case .outside: return text.isEmpty ? [] : [.text(text)]
        case .closing:
            // Blank lines between the thinking and the answer belong to neither.
            let rest = text.drop(while: \.isWhitespace)
            guard !rest.isEmpty else { return [] }
            state = .outside
            return [.text(String(rest))]
        case .undecided(let before):
            let all = before + text
            let begun = all.drop(while: \.isWhitespace)
            if begun.hasPrefix(Self.opening) {
                state = .inside("")
                return take(String(begun.dropFirst(Self.opening.count)))
            }
            if Self.opening.hasPrefix(begun) {
                state = .undecided(all)
                return []
            }
            state = .outside
            return [.text(all)]
        case .inside(let held):
            let all = held + text
            if let end = all.range(of: Self.ending) {
                state = .closing
                let thought = String(all[..<end.lowerBound])
                return (thought.isEmpty ? [] : [.thinking(thought)]) + take(String(all[end.upperBound...]))
            }
            let kept = (1..<Self.ending.count).reversed().first { all.hasSuffix(Self.ending.prefix($0)) } ?? 0
            state = .inside(String(all.suffix(kept)))
            let thought = String(all.dropLast(kept))
            return thought.isEmpty ? [] : [.thinking(thought)]
        }
    }

    /// What was held back when nothing more comes.
    mutating func end() -> [Piece] {
        defer { state = .outside }
        switch state {
        case .undecided(let text): return text.isEmpty ? [] : [.text(text)]
        case .inside(let text): return text.isEmpty ? [] : [.thinking(text)]
        case .closing, .outside: return []
        }
    }
}
