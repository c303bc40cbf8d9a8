import Foundation
import Platform

extension API {
    /// None where the issuer is somebody else's.
    var issuerRoutes: [Route] {
        guard let signIn = services.signIn else { return [] }
        return IssuerRoutes(
            issuer: facts.issuer, signIn: signIn, users: services.users, changed: services.notices.userChanged, deleted: { try await services.userDeletion.ended($0, by: .system) }
        ).routes
    }
}

/// The self-hosted issuer (API.md §2.2), within the platform or alone as `clawbot auth`.
public struct IssuerRoutes: Sendable {
    let issuer: URL
    let signIn: any SignInService
    let users: any UserAdministration
    /// Somebody's account was changed.
    let changed: @Sendable (UserID) async -> Void
    /// Somebody's account was deleted: what else of theirs is here goes too.
    let deleted: @Sendable (UserID) async throws -> Void

    public init(
        issuer: URL, signIn: any SignInService, users: any UserAdministration, changed: @escaping @Sendable (UserID) async -> Void = { _ in },
        deleted: @escaping @Sendable (UserID) async throws -> Void = { _ in }
    ) {
        self.issuer = issuer; self.signIn = signIn; self.users = users; self.changed = changed; self.deleted = deleted
    }

    public var routes: [Route] { signInRoutes + secondFactorRoutes + administrationRoutes }

    private var signInRoutes: [Route] {
        let signIn = signIn, issuer = issuer.absoluteString
        let base = issuer.hasSuffix("/") ? String(issuer.dropLast()) : issuer
        return [
            Route(.get, "/.well-known/openid-configuration", "What verifiers of our tokens need to know.", access: .anyone, answers: [.ok(.anything)]) { _ in
                .json(.object([
                    "issuer": .string(issuer), "jwks_uri": .string(base + "/auth/.well-known/jwks.json"),
                    "id_token_signing_alg_values_supported": .array(["RS256"]), "subject_types_supported": .array(["public"]), "response_types_supported": .array([]),
                    "claims_supported": .array(["iss", "sub", "aud", "iat", "exp", "jti", "token_use", "email", "groups"].map { .string($0) }),
                ]), headers: [.cacheControl: "public, max-age=300"])
            },
            Route(.get, "/auth/.well-known/jwks.json", "Public keys: current, previous and next.", access: .anyone, answers: [.ok(.object([("keys", .list(.anything))]))]) { _ in
                .json(try await signIn.publicKeys(), headers: [.cacheControl: "public, max-age=300"])
            },
            Route(
                .post, "/auth/login", "Signs in with e-mail and password.", access: .anyone, buckets: [.signIn], body: .json(Shapes.login),
                answers: [.ok(Schemas.loginAnswer)], problems: [.invalidCredentials]) { call in
                try await answering {
                    view(
                        try await signIn.login(
                            email: (call.body["email"]?.string ?? "").lowercased(), password: Secret(call.body["password"]?.string ?? ""), requestId: call.requestId))
                }
            },
            Route(
                .post, "/auth/refresh", "Exchanges a refresh token for the next pair.", access: .anyone, body: .json(Shapes.refresh), answers: [.ok(Schemas.tokenPair)],
                problems: [.unauthenticated]) { call in
                try await answering {
                    view(
                        try await signIn.refresh(
                            Secret(call.body["refreshToken"]?.string ?? ""), retryKey: call.body["retryKey"]?.string.map { Secret($0) }, requestId: call.requestId))
                }
            },
            Route(
                .post, "/auth/logout", "Ends a session, or all of its user's.", access: .anyone, body: .json(Shapes.logout), answers: [.noContent]) { call in
                try await answering {
                    try await signIn.logout(Secret(call.body["refreshToken"]?.string ?? ""), everywhere: call.body["everywhere"]?.bool ?? false, requestId: call.requestId)
                    return .noContent
                }
            },
            Route(
                .post, "/auth/change-password", "Changes the password: signed in with the current one, or with a challenge token.", access: .anyoneOrUser,
                buckets: [.signIn], body: .json(Shapes.changePassword), answers: [.ok(Schemas.loginAnswer)], problems: [.invalidCredentials]) { call in
                try await answering {
                    let new = Secret(call.body["newPassword"]?.string ?? "")
                    if let caller = call.caller {
                        if call.body["challengeToken"] != nil { throw Problem.invalid("challengeToken", "Not together with an access token.") }
                        guard let current = call.body["currentPassword"]?.string else { throw Problem.invalid("currentPassword", "This field is needed.") }
                        return view(try await signIn.changePassword(of: caller.userId, current: Secret(current), new: new, requestId: call.requestId))
                    }
                    if call.body["currentPassword"] != nil { throw Problem.unauthenticated }
                    guard let challenge = call.body["challengeToken"]?.string else { throw Problem.unauthenticated }
                    return view(try await signIn.changePassword(challenge: Secret(challenge), new: new, requestId: call.requestId))
                }
            },
            Route(
                .get, "/auth/session", "The account behind the token: for a server that trusts this issuer.",
                answers: [.ok(.object([("userId", .text), ("email", .text), ("displayName", .text), ("isAdmin", .boolean)], optional: [("tokensValidFrom", .time)]))]
            ) { call in
                try await answering {
                    // For a server that trusts this issuer: what it must know of the token's user, asked with that token.
                    let user = try await signIn.account(call.user)
                    return .json(.fields([
                        "userId": .string(user.userId.rawValue), "email": .string(user.email), "displayName": .string(user.displayName),
                        "isAdmin": .bool(call.caller?.identity.isAdmin ?? false), "tokensValidFrom": user.tokensValidFrom.map { .string(Timestamp.text($0)) },
                    ]), headers: [.cacheControl: "no-store"])
                }
            },
        ]
    }

    private var secondFactorRoutes: [Route] {
        let signIn = signIn
        return [
            Route(
                .get, "/auth/totp", "Whether a second factor is asked for.", answers: [.ok(.object([("enabled", .boolean), ("recoveryCodesLeft", .integer)]))]
            ) { call in
                try await answering {
                    let user = try await signIn.account(call.user)
                    return .json(.object(["enabled": .bool(user.hasSecondFactor), "recoveryCodesLeft": .int(user.hasSecondFactor ? user.secondFactor?.recoveryHashes.count ?? 0 : 0)]))
                }
            },
            Route(
                .post, "/auth/totp", "Pays a challenge with a code of the second factor.", access: .anyone, buckets: [.signIn], body: .json(Shapes.secondFactor),
                answers: [.ok(.joined(Schemas.tokenPair, .object([], optional: [("recoveryCodes", .list(.text))])))], problems: [.invalidCredentials, .invalidState]
            ) { call in
                try await answering {
                    let paid = try await signIn.pay(
                        challenge: Secret(call.body["challengeToken"]?.string ?? ""), code: call.body["code"]?.string ?? "", requestId: call.requestId)
                    var fields = Self.fields(paid.pair)
                    if let codes = paid.recoveryCodes { fields["recoveryCodes"] = .array(codes.map { .string($0.reveal()) }) }
                    return .json(.object(fields))
                }
            },
            Route(
                .post, "/auth/totp/enrol", "A new secret for an authenticator app: with a challenge, or signed in with the current password.", access: .anyoneOrUser,
                buckets: [.signIn], body: .json(Shapes.secondFactorEnrolment), answers: [.ok(.object([("secret", .text), ("otpauthUri", .text)]))],
                problems: [.invalidCredentials, .invalidState]
            ) { call in
                try await answering {
                    let made: SecondFactorSecret
                    if let caller = call.caller {
                        if call.body["challengeToken"] != nil { throw Problem.invalid("challengeToken", "Not together with an access token.") }
                        guard let current = call.body["currentPassword"]?.string else { throw Problem.invalid("currentPassword", "This field is needed.") }
                        made = try await signIn.enrol(caller.userId, currentPassword: Secret(current), requestId: call.requestId)
                    } else {
                        guard call.body["currentPassword"] == nil, let challenge = call.body["challengeToken"]?.string else { throw Problem.unauthenticated }
                        made = try await signIn.enrol(challenge: Secret(challenge))
                    }
                    return .json(.object(["secret": .string(made.secret.reveal()), "otpauthUri": .string(made.uri.reveal())]), headers: [.cacheControl: "no-store"])
                }
            },
            Route(
                .post, "/auth/totp/confirm", "The first code of a new secret; from then on it is asked for. The recovery codes are shown once.", buckets: [.signIn],
                body: .json(Shapes.secondFactorCode), answers: [.ok(.object([("recoveryCodes", .list(.text))]))], problems: [.invalidCredentials, .invalidState]
            ) { call in
                try await answering {
                    let codes = try await signIn.confirmSecondFactor(of: call.user, code: call.body["code"]?.string ?? "", requestId: call.requestId)
                    return .json(.object(["recoveryCodes": .array(codes.map { .string($0.reveal()) })]), headers: [.cacheControl: "no-store"])
                }
            },
            Route(
                .delete, "/auth/totp", "Removes the second factor.", buckets: [.signIn], body: .json(Shapes.secondFactorRemoval), answers: [.noContent],
                problems: [.invalidCredentials, .invalidState]
            ) { call in
                try await answering {
                    try await signIn.removeSecondFactor(
                        of: call.user, currentPassword: Secret(call.body["currentPassword"]?.string ?? ""), code: call.body["code"]?.string ?? "", requestId: call.requestId)
                    return .noContent
                }
            },
        ]
    }

    /// Accounts only: what a separate `serve` calls with its administrator's token.
    private var administrationRoutes: [Route] {
        let path = "/auth/admin/users", users = users, changed = changed, deleted = deleted
        return [
            Route(
                .post, path, "Makes an account; the temporary password is shown once.", access: .admin, body: .json(Shapes.newAccount),
                answers: [.created(.object([("userId", .text), ("email", .text)], optional: [("temporaryPassword", .text)]), headers: [])],
                problems: [.alreadyExists, .invalidState, .upstreamFailed]
            ) { call in
                try await answering {
                    let made = try await users.create(
                        email: (call.body["email"]?.string ?? "").lowercased(), displayName: call.body["displayName"]?.string, plan: .free,
                        isAdmin: call.body["isAdmin"]?.bool ?? false, by: call.administrator)
                    return .json(.fields([
                        "userId": .string(made.user.userId.rawValue), "email": .string(made.user.email),
                        "temporaryPassword": made.temporaryPassword.map { .string($0.reveal()) },
                    ]), status: 201, headers: [.cacheControl: "no-store"])
                }
            },
            Route(
                .put, path + "/{userId}/status", "Suspends an account (its sessions end) or lets it back in.", access: .admin, body: .json(Shapes.userStatus),
                answers: [.ok(.object([("userId", .text), ("status", .choice(["active", "suspended"]))]))], problems: [.selfModification, .lastAdmin, .upstreamFailed]
            ) { call in
                try await answering {
                    let user = try Self.user(call), status = call.body["status"]?.string.flatMap(User.Status.init) ?? .active
                    try await users.setStatus(status, of: user, by: call.administrator)
                    await changed(user)
                    return .json(.object(["userId": .string(user.rawValue), "status": .string(status.rawValue)]))
                }
            },
            Route(
                .post, path + "/{userId}/reset-password", "Ends all sessions; the temporary password is shown once.", access: .admin, body: .json(Shapes.empty),
                answers: [.ok(Schemas.temporaryPassword)], problems: [.upstreamFailed]
            ) { call in
                try await answering {
                    let user = try Self.user(call)
                    let password = try await users.resetPassword(of: user, by: call.administrator)
                    await changed(user)
                    return .json(.fields(["temporaryPassword": password.map { .string($0.reveal()) }]), headers: [.cacheControl: "no-store"])
                }
            },
            Route(
                .delete, path + "/{userId}", "Ends an account; its e-mail becomes free.", access: .admin, answers: [.noContent],
                problems: [.selfModification, .lastAdmin, .upstreamFailed]
            ) { call in
                try await answering {
                    let user = try Self.user(call)
                    try await users.delete(user, by: call.administrator)
                    try await deleted(user)
                    await changed(user)
                    return .noContent
                }
            },
        ]
    }

    private static func user(_ call: Call) throws -> UserID {
        let id = call.parameter("userId")
        guard id.utf8.count <= 64, Characters.all(id, Characters.isWord) else { throw Problem.notFound }
        return UserID(id)
    }

    private func view(_ outcome: SignInOutcome) -> Answer {
        switch outcome {
        case .tokens(let pair): view(pair)
        case .challenge(let name, let token, let seconds):
            .json(.object(["challengeName": .string(name), "challengeToken": .string(token.reveal()), "expiresIn": .int(seconds)]))
        }
    }

    private func view(_ pair: TokenPair) -> Answer { .json(.object(Self.fields(pair))) }

    private static func fields(_ pair: TokenPair) -> Document {
        [
            "accessToken": .string(pair.accessToken.reveal()), "tokenType": "Bearer", "expiresIn": .int(pair.expiresIn),
            "refreshToken": .string(pair.refreshToken.reveal()), "refreshExpiresIn": .int(pair.refreshExpiresIn), "userId": .string(pair.userId.rawValue),
        ]
    }

    private func answering(_ work: () async throws -> Answer) async throws -> Answer {
        do { return try await work() } catch let error as SignInError { throw error.problem } catch let error as UserAdministrationError { throw error.problem }
    }
}
