// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import { ISessionKeyValidator } from "../interfaces/ISessionKeyValidator.sol";

/// @title Agents sign for an account, inside of what its owner granted
/// @notice See `ISessionKeyValidator`.
abstract contract SessionKeyValidator is ISessionKeyValidator {}
