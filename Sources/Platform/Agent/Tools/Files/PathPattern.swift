/// A glob: `*` and `?` within a segment, `**` over segments, `[a-z]`, `[!a]`, `{one,two}`, `\` before a literal.
///
/// It is matched segment by segment while a tree is walked, so that what cannot match is not entered.
struct PathPattern: Sendable {
    /// The places in the alternatives that a path so far has led to.
    typealias States = Set<State>
    struct State: Hashable, Sendable { fileprivate var alternative: Int; fileprivate var segment: Int }

    private let alternatives: [[Segment]]

    private enum Segment: Sendable {
        case anyDepth
        case name([Element])
    }
    private enum Element: Sendable {
        case literal(Character)
        case one
        case many
        case set([ClosedRange<Character>], negated: Bool)
    }

    /// - Throws: when braces multiply to more than 256 alternatives.
    init(_ text: String) throws(ToolError) {
        let expanded = try Self.expandBraces(text)
        alternatives = expanded.map { alternative in
            var segments: [Segment] = []
            for part in alternative.split(separator: "/") where part != "." {
                if part == "**" {
                    if case .anyDepth? = segments.last { continue }
                    segments.append(.anyDepth)
                } else {
                    segments.append(.name(Self.parse(part)))
                }
            }
            return segments
        }
    }

    var start: States { closed(Set(alternatives.indices.map { State(alternative: $0, segment: 0) })) }

    /// The states after one more segment of a path; empty = nothing below can match.
    func advance(_ states: States, by name: String) -> States {
        var next: States = []
        for state in states where state.segment < alternatives[state.alternative].count {
            switch alternatives[state.alternative][state.segment] {
            case .anyDepth: next.insert(state)
            case .name(let elements):
                if Self.matches(elements[...], Array(name)[...]) { next.insert(State(alternative: state.alternative, segment: state.segment + 1)) }
            }
        }
        return closed(next)
    }

    /// Whether the path that led here is one that the pattern names.
    func accepts(_ states: States) -> Bool { states.contains { $0.segment == alternatives[$0.alternative].count } }

    func matches(_ path: String) -> Bool {
        accepts(path.split(separator: "/").reduce(start) { advance($0, by: String($1)) })
    }

    /// `**` may stand for no segment at all.
    private func closed(_ states: States) -> States {
        var out = states
        for var state in states {
            while state.segment < alternatives[state.alternative].count, case .anyDepth = alternatives[state.alternative][state.segment] {
                state.segment += 1
                out.insert(state)
            }
        }
        return out
    }

    private static func matches(_ elements: ArraySlice<Element>, _ name: ArraySlice<Character>) -> Bool {
        var elements = elements
        var name = name
        // The last `*` and how much it has taken: on a mismatch it takes one more (linear in practice, no recursion).
        var retry: (elements: ArraySlice<Element>, name: ArraySlice<Character>)?
        while true {
            if case .many? = elements.first {
                elements.removeFirst()
                retry = (elements, name)
                continue
            }
            if let element = elements.first, let character = name.first, fits(element, character) {
                elements.removeFirst()
                name.removeFirst()
                continue
            }
            if elements.isEmpty, name.isEmpty { return true }
            guard var again = retry, !again.name.isEmpty else { return false }
            again.name.removeFirst()
            retry = again
            (elements, name) = again
        }
    }

    private static func fits(_ element: Element, _ character: Character) -> Bool {
        switch element {
        case .literal(let literal): literal == character
        case .one: true
        case .many: false
        case .set(let ranges, let negated): ranges.contains { $0.contains(character) } != negated
        }
    }

    private static func parse(_ text: Substring) -> [Element] {
        var elements: [Element] = []
        var rest = text
        while let character = rest.popFirst() {
            switch character {
            case "*": if case .many? = elements.last {} else { elements.append(.many) }
            case "?": elements.append(.one)
            case "\\": if let next = rest.popFirst() { elements.append(.literal(next)) }
            case "[":
                if let (set, after) = parseSet(rest) {
                    elements.append(set)
                    rest = after
                } else {
                    elements.append(.literal("["))
                }
            default: elements.append(.literal(character))
            }
        }
        return elements
    }

    private static func parseSet(_ text: Substring) -> (Element, Substring)? {
        var rest = text
        var negated = false
        if rest.first == "!" || rest.first == "^" {
            negated = true
            rest.removeFirst()
        }
        var ranges: [ClosedRange<Character>] = []
        while let character = rest.popFirst() {
            if character == "]", !ranges.isEmpty { return (.set(ranges, negated: negated), rest) }
            let next = rest.dropFirst().first
            if rest.first == "-", let next, next != "]", character <= next {
                rest.removeFirst(2)
                ranges.append(character...next)
            } else {
                ranges.append(character...character)
            }
        }
        return nil
    }

    private static func expandBraces(_ text: String) throws(ToolError) -> [String] {
        var done: [String] = []
        var waiting = [text]
        while let next = waiting.popLast() {
            guard done.count + waiting.count < 256 else { throw ToolError("The pattern has too many alternatives in braces.") }
            guard let (before, choices, after) = firstBrace(next) else {
                done.append(next)
                continue
            }
            waiting += choices.reversed().map { before + $0 + after }
        }
        return done
    }

    private static func firstBrace(_ text: String) -> (String, [String], String)? {
        guard let open = text.firstIndex(of: "{") else { return nil }
        var depth = 0
        var choices: [String] = []
        var start = text.index(after: open)
        for index in text[open...].indices {
            switch text[index] {
            case "{": depth += 1
            case "," where depth == 1:
                choices.append(String(text[start..<index]))
                start = text.index(after: index)
            case "}":
                depth -= 1
                guard depth == 0 else { continue }
                choices.append(String(text[start..<index]))
                return (String(text[..<open]), choices, String(text[text.index(after: index)...]))
            default: break
            }
        }
        return nil
    }
}
