/** The schedulers of `torch.optim.lr_scheduler`. */
export { ChainedScheduler, SequentialLR } from './composed.js';
export { CosineAnnealingLR, CosineAnnealingWarmRestarts } from './cosines.js';
export { CyclicLR, OneCycleLR } from './cycles.js';
export {
  ConstantLR, ExponentialLR, LambdaLR, LinearLR, MultiStepLR, MultiplicativeLR, PolynomialLR, StepLR,
} from './decays.js';
export { ReduceLROnPlateau } from './plateau.js';
export { LRScheduler } from './scheduler.js';
