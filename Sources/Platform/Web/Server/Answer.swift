import Foundation
import HTTPTypes
import Hummingbird
import NIOCore
import Platform

/// What a route answers, before the front door turns it into an HTTP response with the headers that every answer has.
public struct Answer: Sendable {
    public enum Content: Sendable {
        case empty
        case json(Value)
        case bytes(Data, type: String)
        /// Written piece by piece; `length` where it is known.
        case stream(length: Int?, type: String, ResponseBody)
    }
    public var status: Int
    public var headers: HTTPFields
    public var content: Content

    public init(status: Int = 200, headers: HTTPFields = [:], content: Content = .empty) {
        self.status = status; self.headers = headers; self.content = content
    }
    public static func json(_ value: Value, status: Int = 200, headers: HTTPFields = [:]) -> Answer {
        Answer(status: status, headers: headers, content: .json(value))
    }
    public static func created(_ value: Value, at location: String) -> Answer { json(value, status: 201, headers: [.location: location]) }
    public static let noContent = Answer(status: 204)
    public static func page(_ items: [Value], next: String?) -> Answer {
        .json(.fields(["items": .array(items), "nextCursor": next.map(Value.string)]))
    }

    func response(head: Bool) throws -> Response {
        var headers = headers
        let body: ResponseBody
        switch content {
        case .empty:
            body = ResponseBody()
        case .json(let value):
            let data = try JSON.data(value)
            if headers[.contentType] == nil { headers[.contentType] = "application/json" }
            headers[.contentLength] = String(data.count)
            body = ResponseBody(byteBuffer: ByteBuffer(bytes: data))
        case .bytes(let data, let type):
            headers[.contentType] = type
            headers[.contentLength] = String(data.count)
            body = ResponseBody(byteBuffer: ByteBuffer(bytes: data))
        case .stream(let length, let type, let stream):
            headers[.contentType] = type
            if let length { headers[.contentLength] = String(length) }
            body = stream
        }
        var response = Response(status: HTTPResponse.Status(code: status), headers: headers, body: head ? ResponseBody() : body)
        if status == 204 || status == 304 { response.headers[.contentLength] = nil }
        return response
    }
}

extension Value {
    /// An object without the absent ones: absent values are omitted from answers, never `null`.
    public static func fields(_ values: [String: Value?]) -> Value { .object(values.compactMapValues { $0 }) }
    public static func time(_ date: Date) -> Value { .string(Timestamp.text(date)) }
    public init(encoding value: some Encodable) throws { self = try JSON.value(JSON.encode(value)) }
}
