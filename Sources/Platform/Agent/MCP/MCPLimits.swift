import Platform

/// What a server may cost, whatever it does (SEC-93).
struct MCPLimits: Sendable {
    /// One message, in either direction; images come in them as base64.
    var messageBytes = 8 << 20
    var tools = 128
    var pages = 20
    var descriptionBytes = 4096
    var schemaBytes = 32 << 10
    /// Text of one result.
    var resultBytes = 100_000
    var resultImages = 8
    /// Images of a result together, so that a model request stays within its 32 MB.
    var resultImageBytes = 8 << 20
    /// Until a server is initialised and has listed its tools.
    var startTime = Duration.seconds(30)
    var installTime = Duration.seconds(180)
    /// A call without a sign of progress, and one with.
    var callTime = Duration.seconds(120)
    var longestCall = Duration.seconds(600)
    /// Messages that answer nothing we asked, between two answers: more is a flood.
    var unasked = 10_000
    var unaskedBytes = 64 << 20
    /// Lines on standard output that are no messages.
    var garbage = 100
    var errorBytes = 16 << 10
    /// Requests of the server that are being answered.
    var answersAtOnce = 16
    /// Between asking a process to end and killing it.
    var goodbye = Duration.seconds(2)
    /// Tries to take up a broken stream.
    var resumptions = 5
    var reconnect = Backoff(first: .milliseconds(500), most: .seconds(30))
    init() {}
}

/// Why a server cannot be used, or did not do what it was asked.
enum MCPFailure: Error, Sendable, Equatable {
    case cannotStart(String)
    /// The process ended, or the connection did.
    case ended(String)
    case timedOut(Duration)
    case flooded
    case tooLong(Int)
    case unintelligible(String)
    case unsupportedVersion
    /// An error of the server's own; its words are data, not ours.
    case refused(RPCError)
    case httpStatus(Int)
    /// The server has forgotten the session: begin a new one.
    case sessionLost
    /// 401 of the gateway.
    case runEnded

    /// In our own words only: this goes into the system prompt.
    var sentence: String {
        switch self {
        case .cannotStart(let why): "it cannot be started: \(why)"
        case .ended(let how): how
        case .timedOut(let time): "it did not answer within \(time.milliseconds / 1000) s"
        case .flooded: "it sent more messages than it may"
        case .tooLong(let limit): "it sent a message over \(limit >> 20) MiB"
        case .unintelligible(let what): "it does not follow the protocol (\(what))"
        case .unsupportedVersion: "it speaks no version of the protocol that is known here"
        case .refused(let error): "it refused with error \(error.code)"
        case .httpStatus(let status): "it answered with status \(status)"
        case .sessionLost: "it has forgotten the session"
        case .runEnded: "the run has ended"
        }
    }
}
