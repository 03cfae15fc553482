import js from "@eslint/js";
import { defineConfig, globalIgnores } from "eslint/config";
import tseslint from "typescript-eslint";

export default defineConfig(
  globalIgnores(["dist/", "artifacts/", "cache/", "coverage/", "typechain-types/"]),
  {
    files: ["**/*.ts"],
    extends: [js.configs.recommended, tseslint.configs.strictTypeChecked, tseslint.configs.stylisticTypeChecked],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      "@typescript-eslint/consistent-type-imports": ["error", { fixStyle: "inline-type-imports" }],
      "@typescript-eslint/restrict-template-expressions": ["error", { allowNumber: true }],
      // tsconfig's noPropertyAccessFromIndexSignature wants env["NAME"]
      "@typescript-eslint/dot-notation": "off",
    },
  },
  {
    // the one place that reads a package's own version from disk with require
    files: ["scripts/solc-from-npm.ts"],
    rules: { "@typescript-eslint/no-require-imports": "off" },
  },
  {
    // chai's property assertions are expressions
    files: ["test/**/*.ts"],
    rules: { "@typescript-eslint/no-unused-expressions": "off" },
  },
  { files: ["**/*.mjs"], extends: [js.configs.recommended] },
);
