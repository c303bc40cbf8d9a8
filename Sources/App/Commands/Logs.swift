import Foundation
import Logging
import Platform

/// Where log lines go: standard error, as JSON, or as text where a person is looking.
enum Logs {
    static func start(_ settings: PlatformConfiguration.Log) {
        let level = Logger.Level(rawValue: settings.level) ?? .info
        let json = settings.format.map { $0 == .json } ?? (isatty(STDERR_FILENO) == 0)
        LoggingSystem.bootstrap { label in
            var handler: any LogHandler = json ? JSONLogHandler(label: label) : StreamLogHandler.standardError(label: label)
            handler.logLevel = level
            return handler
        }
    }
}

/// One JSON object per line: `ts`, `level`, `event`, and the metadata as fields (SECURITY.md §5).
struct JSONLogHandler: LogHandler {
    let label: String
    var logLevel = Logger.Level.info
    var metadata: Logger.Metadata = [:]

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        var fields: [String: Value] = [
            "ts": .string(Timestamp.text(Date())), "level": .string(event.level.rawValue), "event": .string(event.message.description), "logger": .string(label),
        ]
        for (key, value) in metadata.merging(event.metadata ?? [:], uniquingKeysWith: { $1 }) { fields[key] = .string(value.description) }
        guard var data = try? JSON.data(.object(fields)) else { return }
        data.append(0x0a)
        FileHandle.standardError.write(data)
    }
}
