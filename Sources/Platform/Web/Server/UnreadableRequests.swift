import Foundation
import HTTPTypes
import NIOCore
import NIOHTTP1
import NIOHTTPTypes
import Platform

/// Gives a sentence to what the HTTP parser refused, where Hummingbird would answer 400 with an empty body: such a request never
/// reaches the front door.
final class UnreadableRequests: ChannelDuplexHandler, RemovableChannelHandler {
    typealias InboundIn = HTTPRequestPart
    typealias InboundOut = HTTPRequestPart
    typealias OutboundIn = HTTPResponsePart
    typealias OutboundOut = HTTPResponsePart

    private let headers: ResponseHeaders
    private let limit: Int
    private var failure: HTTPParserError?

    /// - Parameter limit: bytes of all headers, for the sentence.
    init(headers: ResponseHeaders, limit: Int) { self.headers = headers; self.limit = limit }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        failure = error as? HTTPParserError ?? failure
        context.fireErrorCaught(error)
    }

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        // Answers to requests before it may still be under way; Hummingbird's own is the empty one that closes.
        guard let failure, case .head(let head) = unwrapOutboundIn(data), head.status == .badRequest, head.headerFields[.connection] == "close",
            head.headerFields[.contentLength] == "0", let (head, body) = try? answer(to: failure)
        else { return context.write(data, promise: promise) }
        self.failure = nil
        context.write(wrapOutboundOut(.head(head)), promise: nil)
        context.write(wrapOutboundOut(.body(ByteBuffer(bytes: body))), promise: promise)
    }

    private func answer(to failure: HTTPParserError) throws -> (HTTPResponse, Data) {
        let problem = switch failure {
        case .headerOverflow: Problem(.headersTooLarge, "The address and the headers together may have at most \(limit) bytes.")
        default: Problem.invalid("request", "This is not a well-formed HTTP/1.1 request.")
        }
        var response = try problem.answer.response(head: false)
        headers.complete(&response, requestId: ULID.make(at: Date()), path: "", origin: nil)
        let body = try JSON.data(problem.document)
        var fields = response.headers
        fields[.connection] = "close"
        fields[.contentLength] = String(body.count)
        return (HTTPResponse(status: response.status, headerFields: fields), body)
    }
}
