import Foundation

/// A cloud's own service that runs Anthropic's models on their native request bodies (Amazon Bedrock): the model is named beside the
/// body, and access is by the cloud's identity instead of a key.
///
/// Nothing is tried again, except once with fresh credentials where the service calls the old ones expired.
public protocol CloudModels: Sendable {
    /// - Returns: the whole message, as JSON.
    func invoke(_ invocation: CloudModelInvocation) async throws(CloudModelFailure) -> Data
    /// Returns as soon as the service has accepted the request.
    func stream(_ invocation: CloudModelInvocation) async throws(CloudModelFailure) -> CloudModelStream
    /// Input tokens of a request; nil where the service does not count for this model.
    func countTokens(_ invocation: CloudModelInvocation) async throws(CloudModelFailure) -> Int?
}

public struct CloudModelInvocation: Sendable {
    /// A model id, an inference profile's id or its full resource name.
    public var model: String
    /// Nil: where the platform itself is.
    public var region: String?
    /// A request of the Messages API without `model` and `stream`, as JSON.
    public var body: Data

    public init(model: String, region: String?, body: Data) { self.model = model; self.region = region; self.body = body }
}

/// An accepted stream; its events are pulled by running it once.
public struct CloudModelStream: Sendable {
    /// Hands out one event of the Messages API after the other, as JSON, and waits for each to be taken. Throws ``CloudModelFailure``
    /// when the stream breaks; a stream may also end before its last event.
    public var events: @Sendable (_ take: (Data) async throws -> Void) async throws -> Void
    public init(events: @escaping @Sendable (_ take: (Data) async throws -> Void) async throws -> Void) { self.events = events }
}

public enum CloudModelFailure: Error, Sendable, Equatable {
    case unreachable, nameNotFound, notSecure, timedOut
    /// No identity or no region is configured; a sentence for the operator.
    case misconfigured(String)
    /// The service answered with an error. The message may be shown to engines: it holds no resource names.
    case refused(status: Int, message: String, retryAfter: Int?)
}
