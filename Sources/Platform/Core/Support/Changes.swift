// What the changes of an update do to a document: the reference for every backend (AWS.md §3.6).

extension Dictionary where Key == String, Value == Platform.Value {
    /// The document after the changes. As paths may not overlap, their order does not matter; list indexes mean
    /// the list as it was, and an index past its end appends.
    /// - Throws: ``RecordStoreError/invalidWrite(_:)`` for overlapping paths, a missing parent, adding to what is no
    ///   number or appending to what is no list.
    public func applying(_ changes: [Change]) throws(RecordStoreError) -> Document {
        try Change.requireDisjoint(changes)
        var root = Value.object(self)
        var removals: [Path] = []
        for change in changes {
            switch change {
            case .remove(let path): removals.append(path)
            case .set(let path, let value): try root.replace(at: path) { _ throws(RecordStoreError) in value }
            case .setIfAbsent(let path, let value): try root.replace(at: path) { old throws(RecordStoreError) in old ?? value }
            case .add(let path, let amount):
                try root.replace(at: path) { old throws(RecordStoreError) in try Value.sum(old, amount, path) }
            case .append(let path, let values):
                try root.replace(at: path) { old throws(RecordStoreError) in
                    switch old {
                    case nil: return .array(values)
                    case .array(let list): return .array(list + values)
                    default: throw .invalidWrite("“\(path)” is no list, so nothing can be appended to it")
                    }
                }
            }
        }
        // Higher indexes first, so that removing one leaves the meaning of the others.
        for path in removals.sorted(by: { ($0.lastIndex ?? -1) > ($1.lastIndex ?? -1) }) { root.remove(path.elements[...]) }
        return root.object ?? [:]
    }
}

extension Change {
    public var path: Path {
        switch self {
        case .set(let path, _), .setIfAbsent(let path, _), .add(let path, _), .append(let path, _), .remove(let path): path
        }
    }
    /// The values it writes.
    var values: [Value] {
        switch self {
        case .set(_, let value), .setIfAbsent(_, let value): [value]
        case .append(_, let values): values
        case .add, .remove: []
        }
    }

    /// Two paths overlap when one is the other or leads to it.
    static func requireDisjoint(_ changes: [Change]) throws(RecordStoreError) {
        for (position, change) in changes.enumerated() {
            guard case .name = change.path.elements.first else {
                throw .invalidWrite("a change needs a path that starts with a name")
            }
            for other in changes[..<position]
            where change.path.elements.starts(with: other.path.elements) || other.path.elements.starts(with: change.path.elements)
            {
                throw .invalidWrite("the changes of “\(change.path)” and “\(other.path)” overlap")
            }
        }
    }
}

extension Path {
    fileprivate var lastIndex: Int? { if case .index(let index) = elements.last { index } else { nil } }
}

extension Value {
    fileprivate static func sum(_ old: Value?, _ amount: Int, _ path: Path) throws(RecordStoreError) -> Value {
        switch old {
        case nil: return .int(amount)
        case .int(let number):
            let (sum, overflow) = number.addingReportingOverflow(amount)
            guard !overflow else { throw .invalidWrite("“\(path)” would leave the range of integers") }
            return .int(sum)
        case .double(let number): return .double(number + Double(amount))
        default: throw .invalidWrite("“\(path)” is no number, so nothing can be added to it")
        }
    }

    fileprivate mutating func replace(at path: Path, _ make: (Value?) throws(RecordStoreError) -> Value) throws(RecordStoreError)
    {
        try replace(path.elements[...], path, make)
    }

    private mutating func replace(
        _ rest: ArraySlice<Path.Element>, _ path: Path, _ make: (Value?) throws(RecordStoreError) -> Value
    ) throws(RecordStoreError) {
        guard let step = rest.first else { self = try make(self); return }
        let isLast = rest.count == 1
        switch (step, self) {
        case (.name(let name), .object(var members)):
            self = .null  // gives up the storage, so that the change below copies nothing
            defer { self = .object(members) }
            if isLast {
                members[name] = try make(members[name])
            } else {
                guard var child = members[name] else { throw .invalidWrite("“\(path)” has no parent to be set in") }
                members[name] = .null
                defer { members[name] = child }
                try child.replace(rest.dropFirst(), path, make)
            }
        case (.index(let index), .array(var list)):
            self = .null
            defer { self = .array(list) }
            if isLast {
                if list.indices.contains(index) { list[index] = try make(list[index]) } else { list.append(try make(nil)) }
            } else {
                guard list.indices.contains(index) else { throw .invalidWrite("“\(path)” has no parent to be set in") }
                try list[index].replace(rest.dropFirst(), path, make)
            }
        default: throw .invalidWrite("“\(path)” has no parent to be set in")
        }
    }

    fileprivate mutating func remove(_ rest: ArraySlice<Path.Element>) {
        switch (rest.first, self) {
        case (.name(let name)?, .object(var members)):
            if rest.count == 1 {
                members[name] = nil
            } else if var child = members[name] {
                child.remove(rest.dropFirst()); members[name] = child
            }
            self = .object(members)
        case (.index(let index)?, .array(var list)) where list.indices.contains(index):
            if rest.count == 1 { list.remove(at: index) } else { list[index].remove(rest.dropFirst()) }
            self = .array(list)
        default: break
        }
    }
}
