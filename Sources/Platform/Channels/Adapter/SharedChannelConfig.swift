import Platform

/// The config keys that every channel type has (API.md §3.4), and the check for unknown ones.
enum SharedChannelConfig {
    enum Kind: Sendable { case bool, oneOf([String]) }
    private static let shared: [String: (Kind, Value)] = [
        "storeContext": (.bool, .bool(true)), "sessionPerThread": (.bool, .bool(false)), "streaming": (.oneOf(["off", "final-edit"]), .string("off")),
    ]

    /// The config with defaults filled in. Throws ``ChannelSetupError/invalid(field:message:)`` for an unknown key or a wrong value.
    static func checked(_ config: [String: Value], own: [String: (Kind, Value?)]) throws -> [String: Value] {
        var kinds = own
        for (key, entry) in shared { kinds[key] = (entry.0, entry.1) }
        for (key, value) in config.sorted(by: { $0.key < $1.key }) where value != .null {
            guard let (kind, _) = kinds[key] else { throw ChannelSetupError.invalid(field: "config.\(key)", message: "This channel has no such setting.") }
            switch kind {
            case .bool:
                guard value.bool != nil else { throw ChannelSetupError.invalid(field: "config.\(key)", message: "Must be true or false.") }
            case .oneOf(let names):
                guard let text = value.string, names.contains(text) else {
                    throw ChannelSetupError.invalid(field: "config.\(key)", message: "Must be one of \(names.joined(separator: ", ")).")
                }
            }
        }
        var full = config.filter { $0.value != .null }
        for (key, entry) in kinds where full[key] == nil { full[key] = entry.1 }
        return full
    }
}
