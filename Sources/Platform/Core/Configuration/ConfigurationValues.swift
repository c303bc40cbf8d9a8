import Configuration
import Foundation
import Yams

/// The values of all keys with their origins, read through swift-configuration's environment and YAML providers.
///
/// The providers are asked one after the other instead of through a `ConfigReader`: that one falls back to the default
/// when a value cannot be converted, and does not say which provider answered.
struct ConfigurationValues {
    /// The path of the file, for sentences; nil = none was given.
    let path: String?
    private let file: YAMLSnapshot?
    private let fileKeys: Set<String>
    private let environment: [String: String]
    private let provider: EnvironmentVariablesProvider
    private(set) var entries: [ConfigurationEntry] = []

    /// Files larger than this are not configurations.
    private static let maxFileSize = 1 << 20
    private static let maxSecretSize = 64 << 10

    init(path: String?, environment: [String: String]) throws(ConfigurationError) {
        self.path = path
        let relevant = environment.filter { !$0.value.isEmpty }
        self.environment = relevant
        provider = EnvironmentVariablesProvider(environmentVariables: relevant)
        if let path {
            (file, fileKeys) = try Self.parse(try Self.read(path, limit: Self.maxFileSize, what: "the configuration file"), path: path)
        } else {
            (file, fileKeys) = (nil, [])
        }
        try refuseUnknownVariables(environment)
    }

    // MARK: - Reading values

    mutating func text(_ name: String, default computed: String? = nil) throws(ConfigurationError) -> String? {
        let key = try key(name)
        guard
            let (text, origin) = try lookUp(
                key, as: { (content: ConfigContent) -> String? in if case .string(let text) = content { text } else { nil } }, type: .string)
        else {
            let value = computed ?? key.fallback
            record(key, value, .fallback)
            return value
        }
        let trimmed = text.trimmingCharacters(in: .whitespaces)
        if case .choice(let choices) = key.kind, !choices.contains(trimmed) {
            throw complaint(key, origin, "is '\(trimmed)', but must be one of \(choices.joined(separator: ", "))")
        }
        guard !trimmed.isEmpty else {
            record(key, computed ?? key.fallback, .fallback)
            return computed ?? key.fallback
        }
        record(key, trimmed, origin)
        return trimmed
    }

    /// A text that has a default.
    mutating func required(_ name: String, default computed: String? = nil) throws(ConfigurationError) -> String {
        guard let value = try text(name, default: computed) else { throw ConfigurationError("\(name) is missing: set it in \(place(name)).") }
        return value
    }

    mutating func integer(_ name: String, default computed: Int? = nil) throws(ConfigurationError) -> Int? {
        let key = try key(name)
        guard case .integer(let range) = key.kind else { throw ConfigurationError("\(name) is declared as something else than an integer.") }
        guard
            let (value, origin) = try lookUp(
                key, as: { (content: ConfigContent) -> Int? in if case .int(let value) = content { value } else { nil } }, type: .int)
        else {
            let value = computed ?? key.fallback.flatMap { Int($0) }
            record(key, value.map(String.init), .fallback)
            return value
        }
        guard range.contains(value) else {
            throw complaint(key, origin, "is \(value), but must be between \(range.lowerBound) and \(range.upperBound)")
        }
        record(key, String(value), origin)
        return value
    }

    mutating func requiredInteger(_ name: String, default computed: Int? = nil) throws(ConfigurationError) -> Int {
        guard let value = try integer(name, default: computed) else { throw ConfigurationError("\(name) is missing: set it in \(place(name)).") }
        return value
    }

    mutating func list(_ name: String) throws(ConfigurationError) -> [String] {
        let key = try key(name)
        let found = try lookUp(
            key, as: { (content: ConfigContent) -> [String]? in if case .stringArray(let list) = content { list } else { nil } }, type: .stringArray)
        let origin = found?.1 ?? .fallback
        let list = (found?.0 ?? (key.fallback ?? "").split(separator: ",").map(String.init))
            .map { $0.trimmingCharacters(in: .whitespaces) }.filter { !$0.isEmpty }
        record(key, list.joined(separator: ", "), origin)
        return list
    }

    mutating func secret(_ name: String) throws(ConfigurationError) -> Secret? {
        let key = try key(name)
        let fileVariable = key.variable + "_FILE"
        if let path = environment[fileVariable] {
            guard environment[key.variable] == nil else {
                throw ConfigurationError("Both \(key.variable) and \(fileVariable) are set in the environment: keep one of them.")
            }
            let text = try Self.read(path, limit: Self.maxSecretSize, what: "the file that \(fileVariable) names").trimmingCharacters(in: .newlines)
            guard !text.isEmpty else { throw ConfigurationError("\(name) is empty: \(path), named by \(fileVariable), holds nothing.") }
            record(key, text, .secretFile(variable: fileVariable, path: path))
            return Secret(text)
        }
        guard
            let (text, origin) = try lookUp(
                key, as: { (content: ConfigContent) -> String? in if case .string(let text) = content { text } else { nil } }, type: .string),
            !text.isEmpty
        else {
            record(key, nil, .fallback)
            return nil
        }
        record(key, text, origin)
        return Secret(text)
    }

    /// Where the value of `name` came from; for sentences of checks that look at several keys.
    func origin(_ name: String) -> ConfigurationOrigin { entries.last { $0.key == name }?.origin ?? .fallback }

    /// `server.host (environment variable CLAWBOT_SERVER_HOST)`
    func named(_ name: String) -> String {
        switch origin(name) {
        case .fallback: "\(name) (default; \(place(name)))"
        case let origin: "\(name) (\(origin))"
        }
    }

    /// Where one would set a key.
    func place(_ name: String) -> String {
        let variable = ConfigurationKey.byName[name]?.variable ?? ConfigurationKey.variable(for: name)
        guard ConfigurationKey.byName[name]?.inFile != false else { return variable }
        return "\(path ?? "the configuration file") or as \(variable)"
    }

    // MARK: - Looking up

    private func key(_ name: String) throws(ConfigurationError) -> ConfigurationKey {
        guard let key = ConfigurationKey.byName[name] else { throw ConfigurationError("\(name) is not declared in the table of configuration keys.") }
        return key
    }

    private func lookUp<T>(_ key: ConfigurationKey, as extract: (ConfigContent) -> T?, type: ConfigType) throws(ConfigurationError) -> (
        T, ConfigurationOrigin
    )? {
        let variable = ConfigurationOrigin.environment(variable: key.variable)
        do {
            let environmentKey = AbsoluteConfigKey(key.inFile ? ["clawbot"] + key.components : [key.name])
            if let content = try provider.value(forKey: environmentKey, type: type).value?.content, let value = extract(content) {
                return (value, variable)
            }
        } catch {
            throw complaint(key, variable, "cannot be read: expected \(Self.name(of: type))")
        }
        guard let file, let path, key.inFile, fileKeys.contains(key.name) else { return nil }
        do {
            if let content = try file.value(forKey: AbsoluteConfigKey(key.components), type: type).value?.content, let value = extract(content) {
                return (value, .file(path))
            }
        } catch {
            throw complaint(key, .file(path), "cannot be read: expected \(Self.name(of: type))")
        }
        return nil
    }

    private mutating func record(_ key: ConfigurationKey, _ value: String?, _ origin: ConfigurationOrigin) {
        let shown = value.map { key.isSecret ? "‹redacted›" : $0 }
        entries.append(ConfigurationEntry(key: key.name, value: shown, origin: origin))
    }

    private func complaint(_ key: ConfigurationKey, _ origin: ConfigurationOrigin, _ what: String) -> ConfigurationError {
        ConfigurationError("\(key.name) \(what) (\(origin)).")
    }

    private static func name(of type: ConfigType) -> String {
        switch type {
        case .int: "an integer"
        case .stringArray: "a list"
        default: "a single text"
        }
    }

    // MARK: - Refusing what nobody knows

    private func refuseUnknownVariables(_ environment: [String: String]) throws(ConfigurationError) {
        var known = Set(ConfigurationKey.table.map(\.variable))
        known.formUnion(ConfigurationKey.table.filter(\.isSecret).map { $0.variable + "_FILE" })
        for variable in environment.keys.sorted() where variable.hasPrefix("CLAWBOT_") {
            guard !known.contains(variable), !ConfigurationKey.isReserved(variable) else { continue }
            throw ConfigurationError("The environment variable \(variable) is no configuration key\(Self.guess(variable, among: known)).")
        }
    }

    private static func parse(_ text: String, path: String) throws(ConfigurationError) -> (YAMLSnapshot?, Set<String>) {
        do {
            guard let root = try Yams.compose(yaml: text) else { return (nil, []) }
            if root.null != nil { return (nil, []) }
            guard let mapping = root.mapping else {
                throw ConfigurationError("\(path) is not a configuration: its top level must be keys with values.")
            }
            let keys = try keys(of: mapping, prefix: "", path: path)
            let snapshot = try YAMLSnapshot(data: Data(text.utf8).bytes, providerName: path, parsingOptions: .default)
            return (snapshot, keys)
        } catch let error as ConfigurationError {
            throw error
        } catch let error as YamlError {
            throw ConfigurationError(sentence(for: error, path: path))
        } catch {
            throw ConfigurationError("\(path) cannot be read as a configuration: \(error).")
        }
    }

    /// The names of all keys that have a value; throws at the first that is unknown.
    private static func keys(of mapping: Node.Mapping, prefix: String, path: String) throws(ConfigurationError) -> Set<String> {
        let known = Set(ConfigurationKey.table.filter(\.inFile).map(\.name))
        var found: Set<String> = []
        for (keyNode, value) in mapping {
            let name = prefix + (keyNode.string ?? "?")
            let line = keyNode.mark.map { " line \($0.line)" } ?? ""
            let isSection = known.contains { $0.hasPrefix(name + ".") }
            if let inner = value.mapping {
                guard isSection else { throw unknown(name, path, line, known) }
                found.formUnion(try keys(of: inner, prefix: name + ".", path: path))
            } else if value.null != nil {
                // `server:` with nothing below it, as a file with all lines commented out has.
                guard isSection || known.contains(name) else { throw unknown(name, path, line, known) }
            } else {
                guard known.contains(name) else {
                    if isSection { throw ConfigurationError("\(name) (\(path)\(line)) must be a section with keys below it.") }
                    throw unknown(name, path, line, known)
                }
                found.insert(name)
            }
        }
        return found
    }

    private static func unknown(_ name: String, _ path: String, _ line: String, _ known: Set<String>) -> ConfigurationError {
        ConfigurationError("\(name) (\(path)\(line)) is no configuration key\(guess(name, among: known)).")
    }

    private static func sentence(for error: YamlError, path: String) -> String {
        switch error {
        case .scanner(_, let problem, let mark, _), .parser(_, let problem, let mark, _), .composer(_, let problem, let mark, _):
            "\(path) is not YAML: \(problem) at line \(mark.line), column \(mark.column)."
        case .duplicatedKeysInMapping(let duplicates, let context):
            "\(path) has a key twice: \(duplicates.joined(separator: ", ")) (near line \(context.mark.line))."
        default: "\(path) is not YAML that can be read: it must be UTF-8 text."
        }
    }

    private static func read(_ path: String, limit: Int, what: String) throws(ConfigurationError) -> String {
        var isDirectory: ObjCBool = false
        guard FileManager.default.fileExists(atPath: path, isDirectory: &isDirectory) else {
            throw ConfigurationError("\(what.prefix(1).uppercased() + what.dropFirst()) \(path) does not exist.")
        }
        guard !isDirectory.boolValue, let handle = FileHandle(forReadingAtPath: path), let data = try? handle.read(upToCount: limit + 1) ?? Data()
        else {
            throw ConfigurationError("\(what.prefix(1).uppercased() + what.dropFirst()) \(path) cannot be read.")
        }
        guard data.count <= limit else { throw ConfigurationError("\(path) is larger than \(limit >> 10) KiB and is not \(what).") }
        guard let text = String(validating: data, as: UTF8.self) else { throw ConfigurationError("\(path) is not UTF-8 text.") }
        return text
    }

    // MARK: - Did you mean

    private static func guess(_ name: String, among known: Set<String>) -> String {
        let best = known.map { (distance(name.lowercased(), $0.lowercased()), $0) }.min { $0 < $1 }
        guard let (distance, candidate) = best, distance <= max(2, name.count / 4) else { return "" }
        return " (did you mean \(candidate)?)"
    }

    /// Edit distance (Levenshtein).
    private static func distance(_ left: String, _ right: String) -> Int {
        let right = Array(right)
        var row = Array(0...right.count)
        for (i, a) in left.enumerated() {
            var diagonal = row[0]
            row[0] = i + 1
            for (j, b) in right.enumerated() {
                let above = row[j + 1]
                row[j + 1] = min(above + 1, row[j] + 1, diagonal + (a == b ? 0 : 1))
                diagonal = above
            }
        }
        return row[right.count]
    }
}
