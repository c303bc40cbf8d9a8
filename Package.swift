// swift-tools-version: 6.2
import PackageDescription

let strict: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .enableUpcomingFeature("ExistentialAny"),
]

// Arrows only point down: App → Web → ControlPlane → Channels → Platform; AgentRuntime → Platform;
// Backends/* → Platform. Only App knows a backend. See docs/structure.md.
let package = Package(
    name: "clawbot",
    platforms: [.macOS(.v15)],
    products: [
        .executable(name: "clawbot", targets: ["App"]),
        .executable(name: "clawbot-bench", targets: ["Bench"]),
    ],
    dependencies: [
        .package(url: "https://github.com/hummingbird-project/hummingbird.git", from: "2.28.1"),
        .package(url: "https://github.com/swift-server/async-http-client.git", from: "1.37.0"),
        .package(url: "https://github.com/apple/swift-nio.git", from: "2.101.2"),
        .package(url: "https://github.com/apple/swift-crypto.git", from: "4.5.2"),
        .package(url: "https://github.com/vapor/jwt-kit.git", from: "5.7.1"),
        .package(url: "https://github.com/groue/GRDB.swift.git", from: "7.10.0"),
        .package(url: "https://github.com/apple/swift-configuration.git", from: "1.4.0", traits: ["YAML"]),
        .package(url: "https://github.com/jpsim/Yams.git", from: "6.2.2"),
        .package(url: "https://github.com/apple/swift-log.git", from: "1.16.2"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle.git", from: "2.13.0"),
        .package(url: "https://github.com/apple/swift-argument-parser.git", from: "1.8.2"),
    ],
    targets: [
        .systemLibrary(
            name: "CMarkGFM", path: "Sources/CMarkGFM",
            providers: [.apt(["libcmark-gfm-dev", "libcmark-gfm-extensions-dev"]), .brew(["cmark-gfm"])]),
        // Kernel calls that Swift cannot import: static inline functions in a header, nothing to link.
        .systemLibrary(name: "CLinux", path: "Sources/CLinux"),
        .systemLibrary(name: "CZlib", path: "Sources/CZlib", providers: [.apt(["zlib1g-dev"]), .brew(["zlib"])]),
        .systemLibrary(name: "CCrypt", path: "Sources/CCrypt", providers: [.apt(["libcrypt-dev"])]),
        .target(
            name: "Platform",
            dependencies: [
                "CZlib",
                .product(name: "Crypto", package: "swift-crypto"),
                .product(name: "CryptoExtras", package: "swift-crypto"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "Configuration", package: "swift-configuration"),
                .product(name: "Yams", package: "Yams"),
            ],
            path: "Sources/Platform/Core", swiftSettings: strict),
        // Raw connections of proxies: heads, tunnels, the first bytes of TLS. Both ends of the sandbox's way out use it.
        .target(
            name: "Tunnel",
            dependencies: [.product(name: "NIOCore", package: "swift-nio"), .product(name: "NIOPosix", package: "swift-nio")],
            path: "Sources/Tunnel", swiftSettings: strict),
        .target(
            name: "Channels",
            dependencies: [
                "Platform", "CMarkGFM",
                .product(name: "AsyncHTTPClient", package: "async-http-client"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
            ],
            path: "Sources/Platform/Channels", swiftSettings: strict),
        .target(
            name: "AgentRuntime",
            dependencies: [
                "Platform", "CLinux", "Tunnel",
                .product(name: "Crypto", package: "swift-crypto"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "AsyncHTTPClient", package: "async-http-client"),
                .product(name: "Hummingbird", package: "hummingbird"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
            ],
            path: "Sources/Platform/Agent", swiftSettings: strict),
        .target(
            name: "ControlPlane",
            dependencies: [
                "Platform", "Channels",
                .product(name: "Crypto", package: "swift-crypto"),
                .product(name: "AsyncHTTPClient", package: "async-http-client"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
            ],
            path: "Sources/Platform/ControlPlane", swiftSettings: strict),
        .target(
            name: "Identity",
            dependencies: [
                "Platform",
                .target(name: "CCrypt", condition: .when(platforms: [.linux])),
                .product(name: "JWTKit", package: "jwt-kit"),
                .product(name: "CryptoExtras", package: "swift-crypto"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
            ],
            path: "Sources/Platform/Identity", swiftSettings: strict),
        .target(
            name: "WebAPI",
            dependencies: [
                "Platform", "Channels", "ControlPlane", "Identity", "Tunnel",
                .product(name: "AsyncHTTPClient", package: "async-http-client"),
                .product(name: "Hummingbird", package: "hummingbird"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
            ],
            path: "Sources/Platform/Web",
            // The console's files travel inside the binary.
            resources: [.embedInCode("Console/Assets")],
            swiftSettings: strict),
        .target(
            name: "LocalBackend",
            dependencies: [
                "Platform",
                .target(name: "CLinux", condition: .when(platforms: [.linux])),
                .product(name: "GRDB", package: "GRDB.swift"),
                .product(name: "Crypto", package: "swift-crypto"),
                .product(name: "AsyncHTTPClient", package: "async-http-client"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
            ],
            path: "Sources/Backends/Local", swiftSettings: strict),
        .target(
            name: "AWSBackend",
            dependencies: [
                "Platform",
                .product(name: "AsyncHTTPClient", package: "async-http-client"),
                .product(name: "Crypto", package: "swift-crypto"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOHTTP1", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
            ],
            path: "Sources/Backends/AWS", swiftSettings: strict),
        .executableTarget(
            name: "App",
            dependencies: [
                "Platform", "Channels", "AgentRuntime", "ControlPlane", "Identity", "WebAPI", "LocalBackend", "AWSBackend",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "AsyncHTTPClient", package: "async-http-client"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
            ],
            path: "Sources/App", swiftSettings: strict),
        .executableTarget(
            name: "Bench",
            dependencies: [
                "Platform",
                .product(name: "Hummingbird", package: "hummingbird"),
                .product(name: "AsyncHTTPClient", package: "async-http-client"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "Logging", package: "swift-log"),
            ],
            path: "Benchmarks", swiftSettings: strict),
        // A port's promises, run unchanged against every backend.
        .target(name: "Conformance", dependencies: ["Platform"], path: "Tests/Conformance", swiftSettings: strict),
        // How many test cases run at once.
        .target(name: "Pace", path: "Tests/Pace", swiftSettings: strict),
        .testTarget(name: "PlatformTests", dependencies: ["Pace", "Platform", "Conformance"], swiftSettings: strict),
        .testTarget(
            name: "LocalBackendTests",
            dependencies: ["Pace", "LocalBackend", "Conformance", .product(name: "GRDB", package: "GRDB.swift")], swiftSettings: strict),
        .testTarget(
            name: "AWSBackendTests",
            dependencies: ["Pace", "AWSBackend", "Platform"], exclude: ["sigv4.json"], swiftSettings: strict),
        .testTarget(
            name: "ControlPlaneTests",
            dependencies: [
                "Pace", "ControlPlane", "Channels", "Platform",
                .product(name: "AsyncHTTPClient", package: "async-http-client"),
                .product(name: "NIOHTTP1", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
            ], swiftSettings: strict),
        .testTarget(
            name: "AgentRuntimeTests",
            dependencies: [
                "Pace", "AgentRuntime", "Platform",
                .product(name: "AsyncHTTPClient", package: "async-http-client"),
                .product(name: "Hummingbird", package: "hummingbird"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
            ], swiftSettings: strict),
        .testTarget(
            name: "ChannelsTests",
            dependencies: [
                "Pace", "Channels", "Platform",
                .product(name: "AsyncHTTPClient", package: "async-http-client"),
                .product(name: "NIOCore", package: "swift-nio"),
            ], swiftSettings: strict),
        .testTarget(name: "IdentityTests", dependencies: ["Pace", "Identity", "Platform"], swiftSettings: strict),
        .testTarget(
            name: "WebAPITests",
            dependencies: [
                "Pace", "WebAPI", "ControlPlane", "Channels", "Platform", "Tunnel", .product(name: "HummingbirdTesting", package: "hummingbird"),
                .product(name: "NIOEmbedded", package: "swift-nio"), .product(name: "NIOHTTP1", package: "swift-nio"),
            ], swiftSettings: strict),
    ]
)
