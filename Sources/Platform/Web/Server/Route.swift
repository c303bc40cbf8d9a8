import ControlPlane
import Foundation
import HTTPTypes
import Hummingbird
import Platform

/// What a route is, as data: who may call it, what it takes, what it answers. The front door acts on it and the OpenAPI document is
/// made from it, so the two cannot drift apart: a query parameter that is not declared does not reach the handler.
public struct RouteDeclaration: Sendable {
    public enum Access: Sendable, Equatable {
        /// No token is looked at.
        case anyone
        /// A token is verified when there is one.
        case anyoneOrUser
        case user
        case admin
        /// Proved by the route itself (vendor signature, blob link, operations token).
        case ownProof
        /// An invocation's grant (agent gateway).
        case grant
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
    /// What of the query string reaches the handler.
    public enum Query: Sendable, ExpressibleByArrayLiteral {
        case parameters([QueryParameter])
        /// A vendor's own: all of it.
        case any
        public init(arrayLiteral parameters: QueryParameter...) { self = .parameters(parameters) }
        /// `limit` and `cursor` of a list (API.md §1.5), and its filters.
        public static func page(_ filters: QueryParameter...) -> Query { .parameters(QueryParameter.page + filters) }

        var parameters: [QueryParameter] { if case .parameters(let known) = self { known } else { [] } }
    }
    /// One way in which the route answers when all is well.
    public struct Outcome: Sendable {
        public enum Content: Sendable { case none, json(Schema), bytes(String) }
        public var status: Int
        public var content: Content
        public var headers: [String]

        public static func ok(_ schema: Schema, headers: [String] = []) -> Outcome { Outcome(status: 200, content: .json(schema), headers: headers) }
        /// A list of API.md §1.5.
        public static func page(_ item: Schema) -> Outcome { ok(.page(of: item)) }
        public static func created(_ schema: Schema, headers: [String] = ["Location"]) -> Outcome { Outcome(status: 201, content: .json(schema), headers: headers) }
        public static func accepted(_ schema: Schema) -> Outcome { Outcome(status: 202, content: .json(schema), headers: []) }
        public static let noContent = Outcome(status: 204, content: .none, headers: [])
        public static let notModified = Outcome(status: 304, content: .none, headers: ["ETag"])
        public static func bytes(_ type: String, status: Int = 200, headers: [String] = []) -> Outcome {
            Outcome(status: status, content: .bytes(type), headers: headers)
        }
    }

    public let method: HTTPRequest.Method
    /// `/api/bots/{botId}`; each placeholder is one percent-decoded segment.
    public let template: String
    /// One sentence for the reader of the OpenAPI document.
    public let summary: String
    public let access: Access
    /// Buckets besides the one of the access class.
    public let buckets: [RateLimits.Bucket]
    public let query: Query
    public let body: Body
    /// Takes `Idempotency-Key`.
    public let idempotent: Bool
    /// Names of fields shown once, left out of a replayed answer.
    public let showOnce: Set<String>
    public let answers: [Outcome]
    /// Refusals besides those that follow from the declaration itself.
    public let problems: [Problem.Slug]
    /// Whether refusals come in the Messages API's own shape, so that its SDKs understand them.
    public var refusesAsModel = false

    public init(
        _ method: HTTPRequest.Method, _ template: String, _ summary: String = "", access: Access = .user, buckets: [RateLimits.Bucket] = [], query: Query = [],
        body: Body = .none, idempotent: Bool = false, showOnce: Set<String> = [], answers: [Outcome] = [], problems: [Problem.Slug] = []
    ) {
        self.method = method; self.template = template; self.summary = summary; self.access = access; self.buckets = buckets; self.query = query
        self.body = body; self.idempotent = idempotent; self.showOnce = showOnce; self.answers = answers; self.problems = problems
    }
}

/// A query parameter and what it may hold; anything else is 400 with `query.<name>`.
public struct QueryParameter: Sendable {
    public enum Rule: Sendable { case choice([String]), text(TextRule), integer(ClosedRange<Int>) }
    public var name: String
    public var about: String
    public var rule: Rule
    public var required: Bool

    public static func text(_ name: String, _ about: String, _ rule: TextRule, required: Bool = false) -> QueryParameter {
        QueryParameter(name: name, about: about, rule: .text(rule), required: required)
    }
    public static func choice(_ name: String, _ about: String, _ words: [String]) -> QueryParameter {
        QueryParameter(name: name, about: about, rule: .choice(words), required: false)
    }
    static let page = [
        QueryParameter(name: "limit", about: "Entries of a page; 50 when absent.", rule: .integer(1...Paging.maximum), required: false),
        // What it holds is sealed: looked at only where it is opened, and then a problem of its own.
        QueryParameter(name: "cursor", about: "`nextCursor` of the page before.", rule: .text(TextRule(bytes: 1...4096, verbatim: true, allowsBlank: true)), required: false),
    ]

    /// The checked values of the declared parameters; each may be given once.
    static func check(_ parameters: [QueryParameter], _ given: [String: [String]]) throws -> [String: [String]] {
        var values: [String: [String]] = [:], errors: [FieldProblem] = []
        for parameter in parameters {
            let field = "query.\(parameter.name)"
            guard let sent = given[parameter.name] else {
                if parameter.required { errors.append(FieldProblem(field, "This parameter is needed.")) }
                continue
            }
            guard sent.count == 1 else { errors.append(FieldProblem(field, "May be given once.")); continue }
            switch parameter.rule {
            case .choice(let words) where !words.contains(sent[0]): errors.append(FieldProblem(field, "Must be one of: \(words.joined(separator: ", "))."))
            case .integer(let range) where !(Int(sent[0]).map(range.contains) ?? false):
                errors.append(FieldProblem(field, "Must be between \(range.lowerBound) and \(range.upperBound)."))
            case .text(let rule):
                switch rule.check(sent[0]) {
                case .success(let text): values[parameter.name] = [text]
                case .failure(let wrong): errors.append(FieldProblem(field, wrong.sentence))
                }
            case .choice, .integer: values[parameter.name] = sent
            }
        }
        if !errors.isEmpty { throw Problem.invalid(errors) }
        return values
    }
}

/// One route of the API: its declaration, and what it does.
///
/// ```swift
/// Route(.put, "/api/bots/{botId}", "Changes a bot.", body: .json(BotShapes.merge), answers: [.ok(Schemas.bot)],
///       resource: { call in try await bots.get(call.user, call.bot) },
///       handle: { call, bot in .json(try await view(bots.update(bot, call.body, by: call.by))) })
/// ```
public struct Route: Sendable {
    public typealias Access = RouteDeclaration.Access
    public typealias Body = RouteDeclaration.Body
    public typealias Query = RouteDeclaration.Query
    public typealias Outcome = RouteDeclaration.Outcome
    /// Prepared before body and fields are looked at: another tenant's resource is 404 whatever the body says.
    public typealias Handler = @Sendable (Call) async throws -> Answer

    public let declaration: RouteDeclaration
    let prepare: @Sendable (Call) async throws -> Handler
    public var method: HTTPRequest.Method { declaration.method }
    public var template: String { declaration.template }

    init(_ declaration: RouteDeclaration, prepare: @escaping @Sendable (Call) async throws -> Handler) {
        self.declaration = declaration; self.prepare = prepare
    }

    public init<Resource: Sendable>(
        _ method: HTTPRequest.Method, _ template: String, _ summary: String = "", access: Access = .user, buckets: [RateLimits.Bucket] = [], query: Query = [],
        body: Body = .none, idempotent: Bool = false, showOnce: Set<String> = [], answers: [Outcome] = [], problems: [Problem.Slug] = [],
        resource: @escaping @Sendable (Call) async throws -> Resource, handle: @escaping @Sendable (Call, Resource) async throws -> Answer
    ) {
        self.init(
            RouteDeclaration(
                method, template, summary, access: access, buckets: buckets, query: query, body: body, idempotent: idempotent, showOnce: showOnce,
                answers: answers, problems: problems)
        ) { call in
            let found = try await resource(call)
            return { try await handle($0, found) }
        }
    }

    public init(
        _ method: HTTPRequest.Method, _ template: String, _ summary: String = "", access: Access = .user, buckets: [RateLimits.Bucket] = [], query: Query = [],
        body: Body = .none, idempotent: Bool = false, showOnce: Set<String> = [], answers: [Outcome] = [], problems: [Problem.Slug] = [],
        handle: @escaping Handler
    ) {
        self.init(
            RouteDeclaration(
                method, template, summary, access: access, buckets: buckets, query: query, body: body, idempotent: idempotent, showOnce: showOnce,
                answers: answers, problems: problems)
        ) { _ in handle }
    }

    /// The same route under `PUT` and `PATCH`, as merge updates have it.
    public static func merge<Resource: Sendable>(
        _ template: String, _ summary: String = "", access: Access = .user, buckets: [RateLimits.Bucket] = [], body: Body, answers: [Outcome] = [],
        problems: [Problem.Slug] = [], resource: @escaping @Sendable (Call) async throws -> Resource,
        handle: @escaping @Sendable (Call, Resource) async throws -> Answer
    ) -> [Route] {
        [HTTPRequest.Method.put, .patch].map {
            Route($0, template, summary, access: access, buckets: buckets, body: body, answers: answers, problems: problems, resource: resource, handle: handle)
        }
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
    /// The declared parameters, checked.
    public internal(set) var query: [String: [String]]
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
    /// Who changes something with this request, for the audit trail.
    var by: By { get throws { By(try user, requestId: requestId) } }
    public func parameter(_ name: String) -> String { parameters[name] ?? "" }
    public var botId: BotID { BotID(parameter("botId")) }
    public func header(_ name: HTTPField.Name) -> String? { request.headers[name] }
}
