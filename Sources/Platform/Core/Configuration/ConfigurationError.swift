/// Why the platform does not start: one sentence that names the key and where it was read.
public struct ConfigurationError: Error, Sendable, Hashable, CustomStringConvertible {
    public let sentence: String
    public init(_ sentence: String) { self.sentence = sentence }
    public var description: String { sentence }
}

/// Where a value came from.
public enum ConfigurationOrigin: Sendable, Hashable, CustomStringConvertible {
    case fallback
    case file(String)
    case environment(variable: String)
    /// The contents of the file at `path`, which the variable names.
    case secretFile(variable: String, path: String)

    public var description: String {
        switch self {
        case .fallback: "default"
        case .file(let path): path
        case .environment(let variable): "environment variable \(variable)"
        case .secretFile(let variable, let path): "\(path), named by \(variable)"
        }
    }
}
