// The verifier is assembly, which coverage cannot see, over memory that its instruments would share.
module.exports = { skipFiles: ["account/P256Verifier.sol", "libraries/P256GeneratorTable.sol"] };
