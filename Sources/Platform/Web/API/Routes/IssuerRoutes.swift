import Foundation
import Platform

extension API {
    /// The self-hosted issuer (API.md §2.2); none of it where the issuer is somebody else's.
    var issuerRoutes: [Route] {
        guard let signIn = services.signIn else { return [] }
        let issuer = facts.issuer.absoluteString
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
                    let outcome = try await signIn.login(
                        email: (call.body["email"]?.string ?? "").lowercased(), password: Secret(call.body["password"]?.string ?? ""), address: call.address)
                    switch outcome {
                    case .tokens(let pair): return view(pair)
                    case .newPasswordRequired(let challenge, let seconds):
                        return .json(.object([
                            "challengeName": "NEW_PASSWORD_REQUIRED", "challengeToken": .string(challenge.reveal()), "expiresIn": .int(seconds),
                        ]))
                    }
                }
            },
            Route(
                .post, "/auth/refresh", "Exchanges a refresh token for the next pair.", access: .anyone, body: .json(Shapes.refresh), answers: [.ok(Schemas.tokenPair)],
                problems: [.unauthenticated]) { call in
                try await answering { view(try await signIn.refresh(Secret(call.body["refreshToken"]?.string ?? ""))) }
            },
            Route(
                .post, "/auth/logout", "Ends a session, or all of its user's.", access: .anyone, body: .json(Shapes.logout), answers: [.noContent]) { call in
                try await answering {
                    try await signIn.logout(Secret(call.body["refreshToken"]?.string ?? ""), everywhere: call.body["everywhere"]?.bool ?? false)
                    return .noContent
                }
            },
            Route(
                .post, "/auth/change-password", "Changes the password: signed in with the current one, or with a challenge token.", access: .anyoneOrUser,
                buckets: [.signIn], body: .json(Shapes.changePassword), answers: [.ok(Schemas.tokenPair)], problems: [.invalidCredentials]) { call in
                try await answering {
                    let new = Secret(call.body["newPassword"]?.string ?? "")
                    if let caller = call.caller {
                        if call.body["challengeToken"] != nil { throw Problem.invalid("challengeToken", "Not together with an access token.") }
                        guard let current = call.body["currentPassword"]?.string else { throw Problem.invalid("currentPassword", "This field is needed.") }
                        return view(try await signIn.changePassword(of: caller.userId, current: Secret(current), new: new))
                    }
                    if call.body["currentPassword"] != nil { throw Problem.unauthenticated }
                    guard let challenge = call.body["challengeToken"]?.string else { throw Problem.unauthenticated }
                    return view(try await signIn.changePassword(challenge: Secret(challenge), new: new))
                }
            },
        ]
    }

    private func view(_ pair: TokenPair) -> Answer {
        .json(.object([
            "accessToken": .string(pair.accessToken.reveal()), "tokenType": "Bearer", "expiresIn": .int(pair.expiresIn),
            "refreshToken": .string(pair.refreshToken.reveal()), "refreshExpiresIn": .int(pair.refreshExpiresIn), "userId": .string(pair.userId.rawValue),
        ]))
    }

    private func answering(_ work: () async throws -> Answer) async throws -> Answer {
        do { return try await work() } catch let error as SignInError { throw error.problem }
    }
}
