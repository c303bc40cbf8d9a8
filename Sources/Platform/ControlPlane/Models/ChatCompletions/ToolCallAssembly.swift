import Platform

/// Tool calls of one answer as they arrive in fragments. The common form numbers them and gives id and name once, first; some endpoints
/// leave the number or the id out, give all of them number 0, repeat the name, or send the arguments as an object.
struct ToolCallAssembly {
    struct Call {
        var id: String
        var name: String
        /// What came of the arguments before the call could be opened.
        var waiting = ""
        /// Its content block, once opened.
        var block: Int?
    }
    private(set) var calls: [Call] = []
    private var byIndex: [Int: Int] = [:]
    private var byID: [String: Int] = [:]
    private let seed: String

    /// - Parameter seed: makes invented ids different from answer to answer.
    init(seed: String) { self.seed = seed }

    /// The place of the call that a fragment belongs to, and what the fragment adds to its arguments.
    mutating func take(_ fragment: Value) -> (place: Int, arguments: String) {
        let function = fragment["function"] ?? fragment
        let id = fragment["id"]?.string ?? "", name = function["name"]?.string ?? ""
        let place = self.place(index: fragment["index"]?.int, id: id, name: name)
        if !name.isEmpty, calls[place].block == nil, calls[place].name != name { calls[place].name += name }
        let arguments: String =
            switch function["arguments"] {
            case .string(let text): text
            case .null, nil: ""
            case let value?: (try? JSON.text(value)) ?? ""
            }
        return (place, arguments)
    }

    mutating func open(_ place: Int, as block: Int) -> Call {
        calls[place].block = block
        defer { calls[place].waiting = "" }
        return calls[place]
    }
    mutating func hold(_ place: Int, _ arguments: String) { calls[place].waiting += arguments }

    private mutating func place(index: Int?, id: String, name: String) -> Int {
        if !id.isEmpty, let known = byID[id] {
            let numbered = index.flatMap { byIndex[$0] }
            // A number of its own and a name make another call, though the endpoint gave both the same id.
            if numbered == known || numbered == nil && (index == nil || name.isEmpty) { return known }
        }
        if let index, let known = byIndex[index] {
            // The same number with another id and a name of its own is another call.
            let isOther = !id.isEmpty && !name.isEmpty && byID[id] == nil
            if !isOther { return known }
        } else if index == nil, id.isEmpty, name.isEmpty, !calls.isEmpty {
            return calls.count - 1
        }
        let place = calls.count
        var inner = ToolCallID.inner(id.isEmpty ? "call_\(seed)_\(place)" : id)
        // The Messages API wants ids to differ within a message.
        if calls.contains(where: { $0.id == inner }) { inner = ToolCallID.inner("\(id)_\(place)") }
        calls.append(Call(id: inner, name: ""))
        if let index { byIndex[index] = place }
        if !id.isEmpty { byID[id] = place }
        return place
    }
}
