import NIOCore
import Platform

/// A model endpoint as the gateway uses it: the Anthropic Messages API in, the same out.
///
/// Kinds of providers differ behind this seam only: an Anthropic-compatible endpoint passes the request on, the demo answers
/// itself, others (Bedrock, OpenAI-compatible) sign or translate. A provider meters nothing: the gateway reads the stream.
public protocol ModelProvider: Sendable {
    /// Sends the request and returns as soon as the head of the answer is there. An answer with an error status is no
    /// exception: its body is already in the Messages API's error shape, free of upstream secrets.
    func send(_ call: ModelCall) async throws(ModelFailure) -> ModelResponse
}

/// One request to a model, checked by the gateway: the model is one that the run may use.
public struct ModelCall: Sendable {
    public enum Operation: String, Sendable { case messages = "messages", countTokens = "messages/count_tokens" }
    public var operation: Operation
    /// The JSON body as the agent sent it, the model name already replaced where the fallback is used.
    public var body: ByteBuffer
    public var model: String
    public var streams: Bool
    /// `anthropic-version` of the agent; nil = the provider's default.
    public var version: String?
    /// Names of `anthropic-beta` that passed the allow list.
    public var betas: [String]
    public var provider: Provider
    /// The provider's key, where it has one.
    public var key: Secret?

    public init(
        operation: Operation, body: ByteBuffer, model: String, streams: Bool, version: String? = nil, betas: [String] = [], provider: Provider,
        key: Secret?
    ) {
        self.operation = operation; self.body = body; self.model = model; self.streams = streams
        self.version = version; self.betas = betas; self.provider = provider; self.key = key
    }
}

/// The head of an answer, and a body that is pulled by running it once.
public struct ModelResponse: Sendable {
    public typealias Writer = (ByteBuffer) async throws -> Void
    public var status: Int
    /// Lower-case names; only what the agent may see (`content-type`, `retry-after`, request ids).
    public var headers: [(name: String, value: String)]
    /// The provider does not accept the platform's key: an error that says nothing about the endpoint's health.
    var isRefusedKey = false
    /// Hands out chunk by chunk and waits for each to be taken. Throws ``ModelFailure`` when the stream breaks.
    public var body: @Sendable (_ write: Writer) async throws -> Void

    public init(status: Int, headers: [(name: String, value: String)], body: @escaping @Sendable (_ write: Writer) async throws -> Void) {
        self.status = status; self.headers = headers; self.body = body
    }
    /// An answer that is whole already.
    public init(status: Int, headers: [(name: String, value: String)] = [], json: ByteBuffer) {
        self.init(status: status, headers: [("content-type", "application/json")] + headers) { try await $0(json) }
    }
}

/// Why there was no answer at all, or why it ended in the middle.
public enum ModelFailure: Error, Sendable, Equatable {
    /// The endpoint could not be reached or hung up.
    case unreachable
    /// The host name of the endpoint has no address.
    case nameNotFound
    /// No encrypted connection could be made: the certificate is not valid for the host, or the other side speaks no TLS.
    case notSecure
    /// No byte for longer than the provider's time-out.
    case timedOut
    /// The provider record cannot be used; the sentence names what is missing.
    case misconfigured(String)
}
