import AsyncHTTPClient
import Foundation
import HTTPTypes
import Hummingbird
import Logging
import NIOCore
import NIOHTTP1
import Platform
import ServiceLifecycle
import Synchronization

/// The run's model calls for a program that speaks HTTP to an address: a listener on loopback (in a sandbox, its own) that passes the
/// two calls of the Messages API on to the gateway under the run's grant. Its own key lets nobody else in, and is of no use elsewhere.
final class ModelDoor: Sendable {
    static let bodyLimit = 32 << 20
    private static let passedOn: [HTTPField.Name] = [.contentType, .init("anthropic-version")!, .init("anthropic-beta")!]
    private static let systemMessage = Array(#""role":"system""#.utf8)
    private static let noSystemMessages = #"{"type":"error","error":{"type":"invalid_request_error","message":"messages.1.role: Input should be 'user' or 'assistant'"}}"#
    private static let handedBack: [String] = ["content-type", "retry-after", "retry-after-ms", "request-id"]

    let gateway: GatewayClient
    let key: Secret
    private let logger: Logger
    private let failure = Mutex<ModelFailure?>(nil)

    init(gateway: GatewayClient, key: Secret, logger: Logger) { self.gateway = gateway; self.key = key; self.logger = logger }

    /// Why the last call brought nothing; nil when it worked.
    var lastFailure: ModelFailure? { failure.withLock { $0 } }

    /// Listens while `work` runs, which is told the port.
    func serving<T: Sendable>(_ work: @escaping @Sendable (Int) async throws -> T) async throws -> T {
        var quiet = logger
        quiet.logLevel = .error
        let (ports, continuation) = AsyncStream.makeStream(of: Int.self)
        let server = Application(
            responder: Responder(door: self), configuration: ApplicationConfiguration(address: .hostname("127.0.0.1", port: 0), serverName: nil),
            onServerRunning: { continuation.yield($0.localAddress?.port ?? 0) }, eventLoopGroupProvider: .shared(gateway.http.eventLoopGroup), logger: quiet)
        return try await withThrowingTaskGroup(of: T?.self) { group in
            group.addTask {
                defer { continuation.finish() }
                try await server.run()
                return nil
            }
            group.addTask {
                guard let port = await ports.first(where: { $0 > 0 }) else { throw CancellationError() }
                return try await work(port)
            }
            defer { group.cancelAll() }
            while let result = try await group.next() { if let result { return result } }
            throw CancellationError()
        }
    }

    private struct Responder: HTTPResponder {
        typealias Context = BasicRequestContext
        let door: ModelDoor

        func respond(to request: Request, context: BasicRequestContext) async throws -> Response {
            guard let given = request.headers[.authorization], Digest.sameSecret("Bearer " + door.key.reveal(), given) else { return Response(status: .unauthorized) }
            guard request.method == .post, ["/v1/messages", "/v1/messages/count_tokens"].contains(request.uri.path) else { return Response(status: .notFound) }
            let body = try await request.body.collect(upTo: ModelDoor.bodyLimit)
            return try await door.pass(request, body)
        }
    }

    private func pass(_ request: Request, _ body: ByteBuffer) async throws -> Response {
        var headers = HTTPHeaders()
        for name in Self.passedOn { if let value = request.headers[name] { headers.add(name: name.canonicalName, value: value) } }
        var call = gateway.request(.POST, "/model" + request.uri.path, headers: headers)
        call.body = .bytes(body)
        let answer: HTTPClientResponse
        do {
            answer = try await gateway.http.execute(call, timeout: .seconds(900))
        } catch {
            note(.again(after: nil, "the gateway could not be reached: \(error)"))
            throw error
        }
        var back = HTTPFields()
        for name in Self.handedBack { if let value = answer.headers.first(name: name), let field = HTTPField.Name(name) { back[field] = value } }
        let status = HTTPResponse.Status(code: Int(answer.status.code))
        guard status.code >= 400 else {
            note(nil)
            return Response(status: status, headers: back, body: ResponseBody(asyncSequence: answer.body))
        }
        var text = try await answer.body.collect(upTo: 1 << 20)
        // The CLI puts system messages between the others, and leaves that when it is told so in the vendor's words; other providers
        // have other words. The failure that is noted stays the real one.
        let holdsSystemMessage = status.code == 400 && body.readableBytesView.firstRange(of: Self.systemMessage) != nil
        let failure = ModelFailure(status: status.code, body: Data(buffer: text), retryAfter: GatewayClient.retryAfter(answer.headers))
        note(failure)
        if holdsSystemMessage { text = ByteBuffer(string: Self.noSystemMessages) }
        // Honoured by the vendor's own clients: what another try cannot change is not tried again.
        if case .again = failure {} else { back[.init("x-should-retry")!] = "false" }
        return Response(status: status, headers: back, body: .init(byteBuffer: text))
    }

    private func note(_ failure: ModelFailure?) { self.failure.withLock { $0 = failure } }
}
