import Foundation
import NIOCore
import Platform

/// `/agent/v1/objects`: files, only under the grant's own prefixes; whatever lies elsewhere is not found.
extension AgentGateway {
    /// Largest object, in bytes.
    public static let maxObjectBytes = 100 << 20

    public func listObjects(_ run: AuthorizedRun, prefix: String, limit: Int, cursor: String?) async throws -> (items: [ObjectInfo], cursor: String?)
    {
        guard GrantView(run.grant).allowsListing(prefix) else {
            await deny(run, "objects")
            throw GatewayError.notFound
        }
        let page = try await objects.list(prefix, delimiter: nil, limit: limit, cursor: cursor)
        let items = page.entries.compactMap { entry -> ObjectInfo? in
            if case .object(let info) = entry { info } else { nil }
        }
        return (items, page.cursor)
    }

    public func headObject(_ run: AuthorizedRun, _ key: String) async throws -> ObjectInfo {
        guard let info = try await objects.head(try await allowed(run, .read, key)) else { throw GatewayError.notFound }
        return info
    }

    /// - Parameter range: offsets of the bytes wanted; clamped to the object.
    public func getObject(_ run: AuthorizedRun, _ key: String, range: Range<Int>?) async throws -> ObjectContent {
        let key = try await allowed(run, .read, key)
        do {
            guard let content = try await objects.get(key, range: range) else { throw GatewayError.notFound }
            return content
        } catch ObjectStoreError.rangeNotSatisfiable(let size) {
            throw GatewayError.rangeNotSatisfiable(size: size)
        }
    }

    /// Stores an object whole, reading the body at the store's pace. Past ``maxObjectBytes`` nothing is written.
    /// - Returns: the new object, and whether there was none before.
    public func putObject<Body: AsyncSequence & Sendable>(
        _ run: AuthorizedRun, _ key: String, body: Body, contentType: String?, if condition: ObjectCondition?
    ) async throws -> (info: ObjectInfo, created: Bool) where Body.Element == ByteBuffer {
        let key = try await allowed(run, .write, key)
        let chunks = Handoff<Data>()
        let registration = run.live.end.onFire { chunks.end(GatewayError.unauthenticated) }
        defer { run.live.end.forget(registration) }
        return try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                do {
                    var total = 0
                    for try await chunk in body {
                        total += chunk.readableBytes
                        guard total <= Self.maxObjectBytes else { throw GatewayError.tooLarge(limit: Self.maxObjectBytes) }
                        try await chunks.send(Data(chunk.readableBytesView))
                    }
                    // A long upload may outlive its run or its bot: nothing is written for what is gone (SEC-126).
                    try await requireCurrent(run)
                    chunks.end()
                } catch {
                    chunks.end(error)
                }
            }
            defer { group.cancelAll() }
            do {
                let existed = try await objects.head(key) != nil
                let info = try await objects.put(key, ByteStream { try await chunks.next() }, contentType: contentType, if: condition)
                return (info, !existed)
            } catch ObjectStoreError.conditionFailed {
                throw GatewayError.preconditionFailed
            } catch ObjectStoreError.tooLarge(let limit) {
                throw GatewayError.tooLarge(limit: limit)
            }
        }
    }

    public func deleteObject(_ run: AuthorizedRun, _ key: String, if condition: ObjectCondition?) async throws {
        let key = try await allowed(run, .write, key)
        do {
            guard try await objects.head(key) != nil else { throw GatewayError.notFound }
            try await objects.delete(key, if: condition)
        } catch ObjectStoreError.conditionFailed {
            throw GatewayError.preconditionFailed
        }
    }

    /// The key, checked and within the grant. A readable key that may not be written is forbidden, any other not found.
    private func allowed(_ run: AuthorizedRun, _ verb: GrantView.Verb, _ text: String) async throws -> ObjectKey {
        let view = GrantView(run.grant)
        if let key = try? ObjectKey(checking: text) {
            if view.allows(verb, key) { return key }
            await deny(run, "objects")
            if view.allows(.read, key) { throw GatewayError.forbidden("This file is read-only for the agent.") }
        } else {
            await deny(run, "objects")
        }
        throw GatewayError.notFound
    }
}
