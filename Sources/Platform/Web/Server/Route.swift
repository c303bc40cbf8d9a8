import Foundation
import HTTPTypes
import Hummingbird
import Platform

/// One route of the API, declared as a value: who may call it, what its body looks like, and what it does.
///
/// The front door reads the declaration in the check order of API.md §1.4; the OpenAPI document can be made from the same values.
///
/// ```swift
/// Route(.put, "/api/bots/{botId}", access: .user, body: .json(BotShapes.merge),
///       resource: { call in try await bots.get(call.user, call.bot) },
///       handle: { call, bot in .json(try await view(bots.update(bot, call.body))) })
/// ```
public struct Route: Sendable {
    public enum Access: Sendable, Equatable {
        /// No token is looked at.
        case anyone
        /// A token is verified when there is one.
        case anyoneOrUser
        case user
        case admin
        /// Proved by the route itself (vendor signature).
        case ownProof
    }
    public enum Body: Sendable {
        case none
        case json(Shape, limit: Int = 256 << 10)
        /// Collected as it is, any media type.
        case raw(limit: Int)
        /// Left to the route to read, cut at the limit.
        case stream(limit: Int)

        var limit: Int {
            switch self {
            case .none: 256 << 10
            case .json(_, let limit), .raw(let limit), .stream(let limit): limit
            }
        }
    }
    /// Prepared before body and fields are looked at: another tenant's resource is 404 whatever the body says.
    public typealias Handler = @Sendable (Call) async throws -> Answer

    public let method: HTTPRequest.Method
    /// `/api/bots/{botId}`; each placeholder is one percent-decoded segment.
    public let template: String
    public let access: Access
    /// Buckets besides the one of the access class.
    public let buckets: [RateLimits.Bucket]
    public let body: Body
    /// Takes `Idempotency-Key`.
    public let idempotent: Bool
    /// Names of fields shown once, left out of a replayed answer.
    public let showOnce: Set<String>
    let prepare: @Sendable (Call) async throws -> Handler

    public init<Resource: Sendable>(
        _ method: HTTPRequest.Method, _ template: String, access: Access = .user, buckets: [RateLimits.Bucket] = [], body: Body = .none,
        idempotent: Bool = false, showOnce: Set<String> = [], resource: @escaping @Sendable (Call) async throws -> Resource,
        handle: @escaping @Sendable (Call, Resource) async throws -> Answer
    ) {
        self.method = method; self.template = template; self.access = access; self.buckets = buckets; self.body = body
        self.idempotent = idempotent; self.showOnce = showOnce
        prepare = { call in
            let found = try await resource(call)
            return { try await handle($0, found) }
        }
    }

    public init(
        _ method: HTTPRequest.Method, _ template: String, access: Access = .user, buckets: [RateLimits.Bucket] = [], body: Body = .none,
        idempotent: Bool = false, showOnce: Set<String> = [], handle: @escaping Handler
    ) {
        self.method = method; self.template = template; self.access = access; self.buckets = buckets; self.body = body
        self.idempotent = idempotent; self.showOnce = showOnce
        prepare = { _ in handle }
    }

    /// The same route under `PUT` and `PATCH`, as merge updates have it.
    public static func merge<Resource: Sendable>(
        _ template: String, access: Access = .user, buckets: [RateLimits.Bucket] = [], body: Body,
        resource: @escaping @Sendable (Call) async throws -> Resource, handle: @escaping @Sendable (Call, Resource) async throws -> Answer
    ) -> [Route] {
        [HTTPRequest.Method.put, .patch].map { Route($0, template, access: access, buckets: buckets, body: body, resource: resource, handle: handle) }
    }
}

/// Who is signed in.
public struct Caller: Sendable {
    public var identity: VerifiedIdentity
    /// The token itself, for streams that check it again while they last.
    public var token: Secret
    public var userId: UserID { identity.userId }
}

/// One request on its way through the front door.
public struct Call: Sendable {
    public let request: Request
    public let requestId: String
    public let route: String
    public let parameters: [String: String]
    public let query: [String: [String]]
    /// The client's, proxies taken off.
    public let address: String
    /// Cuts the connection: for a stream whose reader has stopped reading.
    let hangUp: @Sendable () -> Void
    public internal(set) var caller: Caller?
    /// The validated fields of a JSON body.
    public internal(set) var body: Document = [:]
    public internal(set) var rawBody = Data()

    /// The signed-in user. Only for routes whose access demands one.
    public var user: UserID {
        get throws {
            guard let caller else { throw Problem.unauthenticated }
            return caller.userId
        }
    }
    public func parameter(_ name: String) -> String { parameters[name] ?? "" }
    public var botId: BotID { BotID(parameter("botId")) }
    public func header(_ name: HTTPField.Name) -> String? { request.headers[name] }
}
