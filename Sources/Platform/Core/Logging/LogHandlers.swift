import Foundation
import Logging

/// Where finished lines go; for tests something else than standard error.
public typealias LogSink = @Sendable (String) -> Void

public enum LogSinks {
    /// One write per line, so that lines of several threads do not mix.
    public static let standardError: LogSink = { FileHandle.standardError.write(Data($0.utf8)) }
}

/// One JSON object per line: `ts`, `level`, `event`, and the metadata as fields (SECURITY.md §5), credentials masked (SEC-52).
public struct JSONLogHandler: LogHandler {
    private let label: String
    private let sink: LogSink
    public var logLevel = Logger.Level.info
    public var metadata: Logger.Metadata = [:]
    public var metadataProvider: Logger.MetadataProvider?

    public init(label: String, metadataProvider: Logger.MetadataProvider? = LogContext.provider, sink: @escaping LogSink = LogSinks.standardError) {
        self.label = label; self.metadataProvider = metadataProvider; self.sink = sink
    }
    public subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    public func log(event: LogEvent) {
        var fields: Document = [
            "ts": .string(Timestamp.text(Date())), "level": .string(event.level.rawValue), "event": .string(LogRedaction.masked(event.message.description)),
            "logger": .string(label),
        ]
        for (key, value) in LogLine.metadata(metadata, metadataProvider, event.metadata) where fields[key] == nil {
            fields[key] = .string(LogRedaction.masked(value.description, field: key))
        }
        guard let data = try? JSON.data(.object(fields)) else { return }
        sink(String(decoding: data, as: UTF8.self) + "\n")
    }
}

/// For a person at a terminal: `12:04:31.250 WARN  reply undeliverable  botId=… reason="…"`, in colours where wanted.
public struct HumanLogHandler: LogHandler {
    private let label: String
    private let colours: Bool
    private let sink: LogSink
    private let now: @Sendable () -> Date
    public var logLevel = Logger.Level.info
    public var metadata: Logger.Metadata = [:]
    public var metadataProvider: Logger.MetadataProvider?

    public init(
        label: String, colours: Bool = false, metadataProvider: Logger.MetadataProvider? = LogContext.provider, now: @escaping @Sendable () -> Date = { Date() },
        sink: @escaping LogSink = LogSinks.standardError
    ) {
        self.label = label; self.colours = colours; self.metadataProvider = metadataProvider; self.now = now; self.sink = sink
    }
    public subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    public func log(event: LogEvent) {
        let names: [Logger.Level: (String, String)] = [
            .trace: ("TRACE", "2"), .debug: ("DEBUG", "2"), .info: ("INFO ", "36"), .notice: ("NOTE ", "32"), .warning: ("WARN ", "33"), .error: ("ERROR", "31"),
            .critical: ("CRIT ", "1;31"),
        ]
        let (name, colour) = names[event.level] ?? ("?", "0")
        // Line breaks and escapes of a value would look like another line.
        func quoted(_ text: String) -> String {
            let needs = text.isEmpty || text.unicodeScalars.contains { $0.value <= 0x20 || $0 == "\"" || $0 == "=" || (0x7f...0x9f).contains($0.value) }
            guard needs else { return text }
            return (try? JSON.data(.string(text))).map { String(decoding: $0, as: UTF8.self) } ?? "\"\""
        }
        let fields = LogLine.metadata(metadata, metadataProvider, event.metadata).sorted { $0.key < $1.key }
            .map { " \($0.key)=\(quoted(LogRedaction.masked($0.value.description, field: $0.key)))" }.joined()
        let message = LogRedaction.masked(event.message.description).unicodeScalars.map { $0.value < 0x20 || (0x7f...0x9f).contains($0.value) ? " " : String($0) }.joined()
        let level = colours ? "\u{1B}[\(colour)m\(name)\u{1B}[0m" : name
        sink("\(Timestamp.text(now()).dropFirst(11).dropLast()) \(level) \(message)\(colours && !fields.isEmpty ? "\u{1B}[2m \(fields)\u{1B}[0m" : fields.isEmpty ? "" : " " + fields)\n")
    }
}

enum LogLine {
    /// The logger's own, under the task's, under the line's.
    static func metadata(_ own: Logger.Metadata, _ provider: Logger.MetadataProvider?, _ line: Logger.Metadata?) -> Logger.Metadata {
        var all = own
        if let provided = provider?.get(), !provided.isEmpty { all.merge(provided) { $1 } }
        if let line { all.merge(line) { $1 } }
        return all
    }
}
