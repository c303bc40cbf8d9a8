import Foundation
import Platform

/// One message of JSON-RPC 2.0 (https://www.jsonrpc.org/specification), as MCP uses it: ids are never null.
enum RPCMessage: Sendable, Equatable {
    case request(id: Value, method: String, params: Value?)
    case notification(method: String, params: Value?)
    /// `id` as it came: an answer whose id is not exactly ours answers nothing.
    case response(id: Value, Result<Value, RPCError>)

    /// nil for what is no message.
    init?(_ value: Value) {
        guard let fields = value.object, fields["jsonrpc"]?.string == "2.0" else { return nil }
        let id = fields["id"].flatMap { id -> Value? in id.string != nil || id.int != nil ? id : nil }
        if let method = fields["method"]?.string {
            if fields["id"] == nil { self = .notification(method: method, params: fields["params"]) }
            else if let id { self = .request(id: id, method: method, params: fields["params"]) }
            else { return nil }
            return
        }
        guard let id else { return nil }
        if let error = fields["error"] {
            guard fields["result"] == nil, let code = error["code"]?.int else { return nil }
            self = .response(id: id, .failure(RPCError(code: code, message: error["message"]?.string ?? "", data: error["data"])))
        } else if let result = fields["result"] {
            self = .response(id: id, .success(result))
        } else {
            return nil
        }
    }

    /// The messages of a text: one, or the batch of protocol 2025-03-26. nil for what is no JSON or holds something else.
    static func read(_ text: some Collection<UInt8>) -> [RPCMessage]? {
        guard let value = try? JSON.strictValue(Data(text), maxDepth: 64) else { return nil }
        guard let batch = value.array else { return RPCMessage(value).map { [$0] } }
        let messages = batch.compactMap(RPCMessage.init)
        return messages.count == batch.count && !batch.isEmpty ? messages : nil
    }

    var value: Value {
        switch self {
        case .request(let id, let method, let params): Self.fields(["id": id, "method": .string(method), "params": params])
        case .notification(let method, let params): Self.fields(["method": .string(method), "params": params])
        case .response(let id, .success(let result)): Self.fields(["id": id, "result": result])
        case .response(let id, .failure(let error)):
            Self.fields(["id": id, "error": Self.document(error)])
        }
    }
    private static func fields(_ fields: [String: Value?]) -> Value {
        var document: Document = fields.compactMapValues { $0 }
        document["jsonrpc"] = "2.0"
        return .object(document)
    }

    private static func document(_ error: RPCError) -> Value {
        var document: Document = ["code": .int(error.code), "message": .string(error.message)]
        document["data"] = error.data
        return .object(document)
    }

    func encoded() -> Data { (try? JSON.data(value)) ?? Data() }
}

struct RPCError: Error, Sendable, Equatable {
    var code: Int
    var message: String
    var data: Value?

    static let methodNotFound = -32601
    static let invalidParams = -32602
    static let parseError = -32700
    static let invalidRequest = -32600
    /// Of protocol 2026-07-28.
    static let unsupportedVersion = -32022
}
