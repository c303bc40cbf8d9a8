import Foundation
import Platform

/// A way to a server: brings messages there, and hands on what comes.
protocol MCPTransport: Sendable {
    /// Connects. From then on whatever comes goes to `receiver`, until ``MCPReceiver/ended``.
    func open(_ receiver: MCPReceiver) async throws(MCPFailure)
    /// Brings one message there. Over HTTP it returns once everything that answers it has been received.
    func send(_ message: RPCMessage) async throws(MCPFailure)
    /// The version that was agreed upon, and that messages can come unasked from now on.
    func agreed(on version: String)
    /// Ends the connection in good order, within moments; harmless when it has ended.
    func close() async
}

/// Where a transport hands on what comes. Called from any thread; neither call waits.
struct MCPReceiver: Sendable {
    /// A message and its size in bytes.
    var message: @Sendable (RPCMessage, Int) -> Void
    /// Nothing more comes. The detail is the server's own last word, for a tool result only.
    var ended: @Sendable (MCPFailure, _ detail: String?) -> Void
}
