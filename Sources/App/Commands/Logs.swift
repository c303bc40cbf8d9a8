import Foundation
import Logging
import Platform

/// Where log lines go: standard error, as JSON, or as text where a person is looking.
enum Logs {
    static func start(_ settings: PlatformConfiguration.Log) {
        let level = Logger.Level(rawValue: settings.level) ?? .info
        let isTerminal = isatty(STDERR_FILENO) == 1
        let json = settings.format.map { $0 == .json } ?? !isTerminal
        let colours = isTerminal && ProcessInfo.processInfo.environment["NO_COLOR"] == nil
        LoggingSystem.bootstrap({ label, provider in
            var handler: any LogHandler = json
                ? JSONLogHandler(label: label, metadataProvider: provider) : HumanLogHandler(label: label, colours: colours, metadataProvider: provider)
            handler.logLevel = level
            return handler
        }, metadataProvider: LogContext.provider)
    }
}
