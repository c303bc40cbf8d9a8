import Foundation
import NIOCore
import Platform

// Tasks, history, inbox and files of the agent's own conversation.

/// What a task is created or changed with; absent fields stay as they are.
public struct TaskFields: Encodable, Sendable {
    public var prompt: String?
    public var scheduleType: String?
    public var scheduleValue: String?
    public var timezone: String?
    public var contextMode: String?
    public var status: String?
    public init() {}
}

extension GatewayClient {
    func createTask(_ fields: TaskFields) async throws -> Value {
        let answer = try await call(.POST, "/tasks", headers: ["idempotency-key": ULID.make()], body: JSON.encode(fields))
        return try JSON.value(answer.body)
    }

    /// All tasks of this conversation, newest first; at most 1000.
    func tasks() async throws -> [Value] { try await pages("/tasks", [], most: 1000) }

    func updateTask(_ id: String, _ fields: TaskFields) async throws -> Value {
        let answer = try await call(.PATCH, "/tasks/" + GatewayAddress.percentEncoded(id), body: JSON.encode(fields))
        return try JSON.value(answer.body)
    }

    func deleteTask(_ id: String) async throws { _ = try await call(.DELETE, "/tasks/" + GatewayAddress.percentEncoded(id)) }

    /// Stored messages of this conversation, newest first.
    func history(matching query: String?, before: Date?, limit: Int) async throws -> [Value] {
        try await pages("/history", [("query", query), ("before", before.map(Timestamp.text))], most: limit)
    }

    /// What waits behind this run (bots with `duringRun: steer`), oldest first.
    func inbox() async throws -> [Value] {
        let answer = try await call(.GET, "/inbox", attemptTimeout: .seconds(5))
        return try JSON.value(answer.body)["messages"]?.array ?? []
    }

    /// Results of the platform's web search: title, url, snippet.
    func searchWeb(_ query: String, allowed: [String], blocked: [String]) async throws -> [Value] {
        struct Body: Encodable { var query: String; var allowedDomains: [String]?; var blockedDomains: [String]? }
        let body = Body(query: query, allowedDomains: allowed.isEmpty ? nil : allowed, blockedDomains: blocked.isEmpty ? nil : blocked)
        let answer = try await call(.POST, "/search", body: JSON.encode(body))
        return try JSON.value(answer.body)["results"]?.array ?? []
    }

    /// Stores a file of at most 100 MiB under one of the grant's prefixes.
    func putObject(_ key: ObjectKey, _ content: Data, contentType: String) async throws {
        let path = key.text.split(separator: "/").map(GatewayAddress.percentEncoded).joined(separator: "/")
        _ = try await call(.PUT, "/objects/" + path, body: content, contentType: contentType, attemptTimeout: .seconds(180))
    }

    private func pages(_ path: String, _ fields: [(String, String?)], most: Int) async throws -> [Value] {
        var items: [Value] = []
        var cursor: String?
        repeat {
            let size = String(min(200, most - items.count))
            let page = try JSON.value(try await call(.GET, path + Self.query(fields + [("limit", size), ("cursor", cursor)])).body)
            items += page["items"]?.array ?? []
            cursor = page["nextCursor"]?.string
        } while cursor != nil && items.count < most
        return items
    }
}
