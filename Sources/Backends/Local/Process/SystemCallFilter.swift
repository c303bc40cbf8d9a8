#if os(Linux)
/// The seccomp program of the sandbox (SEC-61), as bubblewrap's `--seccomp` takes it: classic BPF over `struct seccomp_data`
/// (linux/seccomp.h: nr at 0, arch at 4, args at 16, eight bytes each), eight bytes an instruction.
///
/// A list of refusals rather than of permissions: the agent runs whatever compilers and interpreters a user asks for.
/// What is refused is what reaches beyond the sandbox's own processes and files.
struct SystemCallFilter {
    private(set) var program: [UInt8] = []

    #if arch(x86_64)
    private static let architecture: UInt32 = 0xc000_003e // AUDIT_ARCH_X86_64
    #elseif arch(arm64)
    private static let architecture: UInt32 = 0xc000_00b7 // AUDIT_ARCH_AARCH64
    #endif

    private static let allow: UInt32 = 0x7fff_0000, killProcess: UInt32 = 0x8000_0000
    private static let notPermitted: UInt32 = 0x0005_0001 // EPERM
    private static let notImplemented: UInt32 = 0x0005_0026 // ENOSYS

    /// `(x86_64, aarch64)`; nil where the architecture has no such call. Numbers: asm/unistd_64.h, asm-generic/unistd.h.
    private static let refused: [(Int?, Int?)] = [
        // mounts and roots
        (165, 40), (166, 39), (155, 41), (161, 51), (428, 428), (429, 429), (430, 430), (431, 431), (432, 432), (433, 433), (442, 442), (467, 467),
        // namespaces
        (272, 97), (308, 268),
        // other processes' memory and descriptors
        (101, 117), (310, 270), (311, 271), (312, 272), (438, 438), (440, 440),
        // bpf, perf, userfaultfd, io_uring
        (321, 280), (298, 241), (323, 282), (425, 425), (426, 426), (427, 427),
        // keyrings
        (248, 217), (249, 218), (250, 219),
        // kernels and modules
        (246, 104), (320, 294), (175, 105), (313, 273), (176, 106), (174, nil), (177, nil), (178, nil),
        // the machine: reboot, swap, kernel log, accounting, quota, clocks, names, ports, terminals
        (169, 142), (167, 224), (168, 225), (103, 116), (163, 89), (179, 60), (443, 443), (164, 170), (227, 112), (305, 266), (159, 171),
        (170, 161), (171, 162), (172, nil), (173, nil), (153, 58), (134, nil), (154, nil), (180, 42), (212, 18),
        // placement of memory on nodes
        (237, 235), (238, 237), (239, 236), (256, 238), (279, 239),
        // files by handle, whole-mount notification
        (303, 264), (304, 265), (300, 262),
    ]

    init() {
        // An unknown architecture (32-bit entry) has other numbers: nothing of it may pass.
        load(4); jump(equal: Self.architecture, otherwiseSkip: 0, thenSkip: 1); answer(Self.killProcess)
        load(0)
        #if arch(x86_64)
        // The x32 numbers begin at 2^30.
        append(code: 0x35, jt: 0, jf: 1, k: 0x4000_0000); answer(Self.notImplemented)
        #endif
        for (x86, arm) in Self.refused {
            if let number = Self.pick(x86, arm) { refuse(number, Self.notPermitted) }
        }
        // clone3 keeps its flags behind a pointer; libraries fall back to clone.
        refuse(435, Self.notImplemented)
        // So do openat2 (mode bits) and fchmodat2; programs fall back to the older calls.
        refuse(437, Self.notImplemented)
        refuse(452, Self.notImplemented)

        // clone with any CLONE_NEW… flag (NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET)
        when(Self.pick(56, 220)) { $0.refuse(argument: 0, anyOf: 0x7e02_0000) }
        // Sockets: AF_UNIX, AF_INET, AF_INET6. Netlink, packet, vsock, Bluetooth and the rest stay shut.
        for call in [Self.pick(41, 198), Self.pick(53, 199)] {
            when(call) { filter in
                filter.load(16)
                for family: UInt32 in [1, 2, 10] { filter.jump(equal: family, otherwiseSkip: 1, thenSkip: 0); filter.answer(Self.allow) }
                filter.answer(Self.notPermitted)
            }
        }
        // ioctl TIOCSTI and TIOCLINUX put keystrokes into a terminal.
        when(Self.pick(16, 29)) { filter in
            filter.load(24)
            for request: UInt32 in [0x5412, 0x541c] { filter.jump(equal: request, otherwiseSkip: 1, thenSkip: 0); filter.answer(Self.notPermitted) }
            filter.answer(Self.allow)
        }
        // Set-user-id files: what the agent makes in its workspace belongs to the control plane's uid on disk.
        let setID: UInt32 = 0o6000
        when(Self.pick(90, nil)) { $0.refuse(argument: 1, anyOf: setID) }  // chmod
        when(Self.pick(91, 52)) { $0.refuse(argument: 1, anyOf: setID) }  // fchmod
        when(Self.pick(268, 53)) { $0.refuse(argument: 2, anyOf: setID) }  // fchmodat
        when(Self.pick(85, nil)) { $0.refuse(argument: 1, anyOf: setID) }  // creat
        when(Self.pick(133, nil)) { $0.refuse(argument: 1, anyOf: setID) }  // mknod
        when(Self.pick(259, 33)) { $0.refuse(argument: 2, anyOf: setID) }  // mknodat
        for (call, flags) in [(Self.pick(2, nil), 1), (Self.pick(257, 56), 2)] {  // open, openat: only with O_CREAT or O_TMPFILE
            when(call) { filter in
                filter.load(16 + 8 * UInt32(flags))
                filter.append(code: 0x45, jt: 1, jf: 0, k: 0x40 | 0x40_0000); filter.answer(Self.allow)
                filter.refuse(argument: flags + 1, anyOf: setID)
            }
        }
        answer(Self.allow)
    }

    private static func pick(_ x86: Int?, _ arm: Int?) -> UInt32? {
        #if arch(x86_64)
        x86.map { UInt32($0) }
        #else
        arm.map { UInt32($0) }
        #endif
    }

    private mutating func append(code: UInt16, jt: UInt8 = 0, jf: UInt8 = 0, k: UInt32) {
        program += [UInt8(code & 0xff), UInt8(code >> 8), jt, jf, UInt8(k & 0xff), UInt8(k >> 8 & 0xff), UInt8(k >> 16 & 0xff), UInt8(k >> 24)]
    }
    /// Loads the low 32 bits at an offset of `seccomp_data` (both architectures are little-endian).
    private mutating func load(_ offset: UInt32) { append(code: 0x20, k: offset) }
    private mutating func answer(_ value: UInt32) { append(code: 0x06, k: value) }
    private mutating func jump(equal value: UInt32, otherwiseSkip jf: UInt8, thenSkip jt: UInt8) { append(code: 0x15, jt: jt, jf: jf, k: value) }
    private mutating func refuse(_ number: UInt32, _ value: UInt32) {
        jump(equal: number, otherwiseSkip: 1, thenSkip: 0)
        answer(value)
    }
    /// Ends the program: refuses when the argument has one of the bits, else allows.
    private mutating func refuse(argument: Int, anyOf bits: UInt32) {
        load(16 + 8 * UInt32(argument))
        append(code: 0x45, jt: 0, jf: 1, k: bits)
        answer(Self.notPermitted)
        answer(Self.allow)
    }
    /// A block for one call. It must end the program, since it overwrites the accumulator.
    private mutating func when(_ number: UInt32?, _ block: (inout SystemCallFilter) -> Void) {
        guard let number else { return }
        var inner = SystemCallFilter(empty: ())
        block(&inner)
        jump(equal: number, otherwiseSkip: UInt8(inner.program.count / 8), thenSkip: 0)
        program += inner.program
    }
    private init(empty: Void) {}
}
#endif
